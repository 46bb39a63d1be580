"""Features of users and items from files to a server: a bundle of two towers answers for a user that it does not know."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest

from sixfold import pipeline
from sixfold.bundle.load import Bundle
from sixfold.bundle.load import load as load_bundle
from sixfold.bundle.recommend import stored
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError
from sixfold.recipe.load import load
from sixfold.serve.app import create

pytestmark = pytest.mark.slow
RECIPE = """version: 1
name: features
task: recommendation
data:
  source: seen.csv
  time: time
  users: {source: users.csv, types: {note: text}}
  items: {source: items.csv}
build: [{family: two_tower, width: 8, hidden: 8, negatives: 16}, {family: popularity}]
train: {epochs: 40, batch_size: 64, optimizer: {name: adam, learning_rate: 0.01}}
evaluate: {folds: 2, metrics: [mrr, ndcg_at_10]}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(1)
    users = [
        f"u{n},{20 + n},{'ab'[n % 2]},likes {'red' if n % 2 else 'blue'} things" for n in range(50)
    ]
    items = [f"i{n},{n}.5,{'ab'[n % 2]}" for n in range(30)]
    rows = []
    for n in range(44):  # the others did nothing; nobody had the last six items
        for item in rng.choice(np.arange(n % 2, 24, 2), 8, replace=False):
            rows.append(f"u{n},i{item},{int(rng.integers(1000))}")
    for name, head, lines in (
        ("users", "user,age,plan,note", users),
        ("items", "item,price,kind", items),
        ("seen", "user,item,time", rows),
    ):
        (folder / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "r.yaml").write_text(RECIPE)
    return load_bundle(pipeline.run(load(folder / "r.yaml"), folder / "run").bundle)


def ask(bundle: Bundle, **body: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        app = create(bundle, bundle.recipe.serve)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return await client.post("/recommend", json=body)

    return asyncio.run(call())


def test_a_new_user_is_answered_by_features(bundle: Bundle) -> None:
    assert bundle.receipt.candidate.startswith("two_tower")
    tastes = {}
    for plan in "ab":
        known = {
            "age": 30,
            "plan": plan,
            "note": f"likes {'red' if plan == 'b' else 'blue'} things",
        }
        answer = ask(bundle, features=known, k=12)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["basis"], answer.json()["unknown"]) == ("features", [])
        tastes[plan] = [int(one["item"][1:]) % 2 for one in answer.json()["items"]]
    assert np.mean(tastes["b"]) > np.mean(tastes["a"]) + 0.5
    stranger = ask(bundle, user="nobody", features={"plan": "a"}, items=["i3"]).json()
    assert (stranger["basis"], stranger["unknown"]) == ("session", ["nobody"])
    assert ask(bundle, user="nobody").json()["basis"] == "popularity"
    assert ask(bundle, features={}).json()["basis"] == "features"
    assert ask(bundle, user="u3").json()["basis"] == "user"


@pytest.mark.parametrize(
    ("features", "where"),
    [([1], "features"), ({"agee": 1}, "features"), ({"age": "old"}, "row 1, column 'age'")],
)
def test_features_that_do_not_fit_are_told(bundle: Bundle, features: Any, where: str) -> None:
    answer = ask(bundle, features=features)
    assert answer.status_code == 422
    assert where in answer.json()["error"]["where"]


def test_the_proof_has_requests_with_features(bundle: Bundle) -> None:
    told = verify(bundle.path)
    count = bundle.receipt.parity_rows
    assert count > 2 * 44 and f"{count} stored requests answered again" in told[-1]


def test_a_bundle_without_what_reads_features_is_refused(bundle: Bundle) -> None:
    content = (bundle.path / "recommender.safetensors").read_bytes()
    found = stored.read(content, "the file")
    arrays = {name: array for name, array in found.arrays.items() if name != "feature_inputs"}
    kept = {name: getattr(found, name) for name in ("kind", "options", "users", "items", "seen")}
    made = stored.StoredRecommender(**kept, arrays=arrays, user_counts=found.user_counts)
    with pytest.raises(BundleError):
        stored.read(made.packed(), "the file")
    assert json.loads(found.arrays["feature_inputs"].tobytes())["inputs"][0]["name"] == "age"
