"""`"explain": true` in a request, and what it may take."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import bright_images
import httpx
import loud_recordings
import pytest
import tiny_bundle

from sixfold.bundle.load import Bundle, load
from sixfold.serve import inference
from sixfold.serve.app import create

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
