"""The OpenAPI document: whoever reads it alone can send every request, and knows what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openai_worlds import OpenAIWorld, openai_world

from sixfold.service.api.app import ROUTERS
from sixfold.service.api.inference_document import PATHS
from sixfold.service.gateway.front_door import INFERENCE

JSON = "application/json"
FREE = {  # answers whose content is a stream, bytes or text
    "/api/v1/files/{file_id}/content",
    "/api/v1/models/{name}/versions/{which}/bundle",
    "/api/v1/jobs/{job_id}/stream",
    "/v1/files/{file_id}/content",
    "/metrics",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIWorld]:
    with openai_world(tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture(scope="module")
def document(here: OpenAIWorld) -> dict[str, Any]:
    found: dict[str, Any] = here.http.get("/openapi.json").json()
    return found


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_routes_of_the_front_door_are_in_it(document: dict[str, Any]) -> None:
    assert set(INFERENCE) <= document["paths"].keys() and PATHS.keys() <= document["paths"].keys()
    assert "/models/{name}/predict" in document["paths"]


def test_every_json_body_has_an_example(document: dict[str, Any]) -> None:
    without = []
    for path, method, operation in operations(document):
        media = operation.get("requestBody", {}).get("content", {}).get(JSON)
        if media is None:
            continue
        schema = resolved(document, media["schema"])
        if not (media.get("example") or schema.get("examples")):
            without.append(f"{method} {path}")
    assert without == []


def test_every_example_of_a_body_is_taken() -> None:
    seen = 0
    for module in ROUTERS:
        for route in module.router.routes:
            field = route.body_field if isinstance(route, APIRoute) else None
            if field is None:
                continue
            model = field.field_info.annotation
            for example in model.model_json_schema()["examples"]:
                assert model.model_validate(example).model_dump(exclude_unset=True) is not None
                seen += 1
    assert seen > 12


def test_every_answer_says_what_is_in_it(document: dict[str, Any]) -> None:
    """No list of anything, no object without fields: but for what a model answers."""
    vague = []
    for path, method, operation in operations(document):
        assert operation.get("summary"), (path, method)
        good = {code: one for code, one in operation["responses"].items() if code.startswith("2")}
        assert good, (path, method)
        for code, one in good.items():
            if code == "204" or path in FREE or path in PATHS:
                continue
            schema = resolved(document, one["content"][JSON]["schema"])
            within = schema.get("properties", {}).get("data", schema)
            if "items" in within and "$ref" not in within["items"]:
                vague.append(f"{method} {path}")
    assert vague == []


def test_every_operation_says_how_it_is_refused(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if path in ("/livez", "/readyz"):
            continue
        content = operation["responses"]["4XX"]["content"]
        for media, one in content.items():
            assert one["schema"]["required"], (method, path, media)


def test_a_stream_goes_on_behind_what_was_heard(here: OpenAIWorld) -> None:
    job = here.world.submit()
    here.http.post(f"/api/v1/jobs/{job.id}/cancel")
    path = f"/api/v1/jobs/{job.id}/stream"
    whole = here.http.get(path).text
    ids = [int(line[4:]) for line in whole.splitlines() if line.startswith("id: ")]
    assert ids[:2] == [1, 2] and whole.rstrip().endswith('data: {"state": "cancelled"}')
    rest = here.http.get(path, headers={"Last-Event-ID": "1"}).text
    assert "id: 2\n" in rest and "id: 1\n" not in rest
    assert here.http.get(path, params={"after": 2**70}).status_code == 400
