"""`"explain": true` in a request, and what it may take."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import bright_images
import httpx
import loud_recordings
import numpy as np
import pytest
import spoken_letters
import tiny_bundle
from PIL import Image

from sixfold.bundle.load import Bundle, load
from sixfold.serve import inference
from sixfold.serve.app import create
from sixfold.serve.limits import LARGE_BODY
from sixfold.serve.openapi import document

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle" / "explain"))
import linear_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(linear_bundle.make(tmp_path_factory.mktemp("serve") / "bundle"))


def send(bundle: Bundle, body: Any) -> httpx.Response:
    app = create(bundle, bundle.recipe.serve)

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return await client.post("/predict", json=body)

    return asyncio.run(call())


def test_explanations_stand_beside_the_predictions(bundle: Bundle) -> None:
    rows = [tiny_bundle.raw(), tiny_bundle.raw(size=None)]
    content = send(bundle, {"rows": rows, "explain": True}).json()
    assert content["predictions"] == send(bundle, {"rows": rows}).json()["predictions"]
    assert content["explanations"] == bundle.explain(rows).records()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert send(bundle, {"columns": columns, "explain": True}).json() == content
    assert "explanations" not in send(bundle, {"rows": rows, "explain": False}).json()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"rows": [tiny_bundle.raw()], "explain": 1}, "true or false"),
        (
            {"rows": [tiny_bundle.raw()], "explain": ["auto"]},
            "true or false, or one of auto, exact",
        ),
        ({"rows": [tiny_bundle.raw()], "explain": "bands"}, "a model of recordings"),
        ({"rows": [tiny_bundle.raw()], "explain": True, "more": 1}, '{"rows"'),
        ({"rows": [tiny_bundle.raw(extra=1)], "explain": True}, "only columns of the signature"),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Bundle, body: Any, expected: str) -> None:
    response = send(bundle, body)
    assert response.status_code == 422
    assert response.json()["error"]["expected"].startswith(expected)


def test_more_work_than_is_allowed_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "EXPLAIN_S", 1e-12)
    response = send(bundle, {"rows": [tiny_bundle.raw()], "explain": True})
    assert response.status_code == 422
    assert response.json()["error"]["where"] == "explain"
    assert "of work" in response.json()["error"]["expected"]


def post(bundle: Bundle, **content: Any) -> httpx.Response:
    app = create(bundle, bundle.recipe.serve)

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return await client.post("/predict", **content)

    return asyncio.run(call())


@pytest.mark.parametrize("kind", ["bright", "loud"])
def test_pieces_of_files_and_texts_by_form_and_by_json(kind: str, tmp_path: Path) -> None:
    """In the process that serves: no torch."""
    maker = bright_images if kind == "bright" else loud_recordings
    bundle = load(maker.make(tmp_path / "bundle"))
    row: dict[str, Any] = {"sound": loud_recordings.sound(0.5)}
    if kind == "bright":
        row = {"photo": bright_images.photo(200), "note": "a night", "weight": "2"}
    files = {name: ("file", value) for name, value in row.items() if isinstance(value, bytes)}
    fields = {name: value for name, value in row.items() if not isinstance(value, bytes)}
    answered = post(bundle, data={**fields, "explain": "true"}, files=files)
    assert answered.status_code == 200
    content = answered.json()
    encoded = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
    }
    assert post(bundle, json={"rows": [encoded], "explain": True}).json() == content
    (told,) = content["explanations"]
    assert list(told["pieces"]) == (["photo", "note", "weight"] if kind == "bright" else ["sound"])
    plain = post(bundle, data={**fields, "explain": "false"}, files=files).json()
    assert plain == {"predictions": content["predictions"]}
    refused = post(bundle, data={**fields, "explain": "yes"}, files=files)
    assert refused.status_code == 422
    assert refused.json()["error"]["where"] == "explain"


Kind = tuple[Any, dict[str, Any]]
KINDS: dict[str, Kind] = {
    "bright": (
        bright_images,
        {"photo": bright_images.photo(200), "note": "a night", "weight": "2"},
    ),
    "loud": (loud_recordings, {"sound": loud_recordings.sound(0.5)}),
    "letters": (spoken_letters, {"sound": spoken_letters.said("a--  --b")}),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("kinds")
    return {name: load(maker.make(folder / name)) for name, (maker, _) in KINDS.items()}


def encoded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
    }


@pytest.mark.parametrize(
    ("kind", "method"),
    [("bright", "occlusion"), ("loud", "bands"), ("letters", True), ("letters", "occlusion")],
)
def test_answers_are_those_of_the_library(
    kinds: dict[str, Bundle], kind: str, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "EXPLAIN_S", 1e6)  # a busy machine has time for fewer pieces
    bundle, row = kinds[kind], KINDS[kind][1]
    found = send(bundle, {"rows": [encoded(row)] * 2, "explain": method}).json()
    told = bundle.explanations([row, row], "auto" if method is True else method)
    assert found["explanations"] == told.records
    assert found["predictions"] == bundle.predict([row, row]).records()


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_would_take_is_said_of_every_kind(
    kinds: dict[str, Bundle], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "EXPLAIN_S", 1e-9)
    row = encoded(KINDS[kind][1])
    for rows, remedy in (([row], "Give it more time"), ([row, row], "")):
        response = send(kinds[kind], {"rows": rows, "explain": True})
        error = response.json()["error"]
        assert (response.status_code, error["where"]) == (422, "explain")
        assert error["expected"].startswith("at most ")
        assert error["expected"].endswith(" s of work")
        assert error["found"].startswith("about ")
        assert error["remedy"].startswith(remedy)


@pytest.mark.parametrize("first", [True, False])
def test_a_large_body_may_ask_for_it_before_or_behind_its_rows(
    kinds: dict[str, Bundle], first: bool
) -> None:
    """Rows of a large body are read one after the other, but for those that are explained."""
    noise = np.random.default_rng(0).integers(0, 256, (420, 420), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    row = encoded({**KINDS["bright"][1], "photo": stream.getvalue()})
    asked = {"explain": True, "rows": [row]} if first else {"rows": [row], "explain": True}
    assert len(json.dumps(asked)) > LARGE_BODY
    found = send(kinds["bright"], asked).json()
    assert list(found["explanations"][0]["pieces"]) == ["photo", "note", "weight"]
    assert send(kinds["bright"], {"rows": [row]}).json()["predictions"] == found["predictions"]


def test_the_document_describes_it(kinds: dict[str, Bundle]) -> None:
    told = document(kinds["letters"], kinds["letters"].recipe.serve)
    forms = told["paths"]["/predict"]["post"]["requestBody"]["content"]
    asked = forms["application/json"]["schema"]["anyOf"][0]["properties"]["explain"]
    assert {True, "auto", "bands", "rollout"} <= set(asked["enum"])
    assert "2 s" in asked["description"]
    row = encoded(KINDS["letters"][1])
    (record,) = send(kinds["letters"], {"rows": [row], "explain": True}).json()["explanations"]
    described = told["components"]["schemas"]["Explanation"]["properties"]
    assert set(record) <= set(described)
    assert set(record["pieces"]["sound"]) <= set(
        described["pieces"]["additionalProperties"]["properties"]
    )
