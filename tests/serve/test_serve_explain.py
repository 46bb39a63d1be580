"""`"explain": true` in a request, and what it may take."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
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
