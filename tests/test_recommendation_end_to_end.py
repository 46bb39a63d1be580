"""A recommender from interactions to a bundle that answers: receipt, report, verify, the server, a run that was killed,
and a million interactions.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from sixfold import pipeline
from sixfold.bundle.load import Bundle
from sixfold.bundle.load import load as load_bundle
from sixfold.bundle.manifest import read as read_manifest
from sixfold.bundle.verify import verify
from sixfold.cli import group, receipt_table
from sixfold.core.errors import BudgetError
from sixfold.recipe.load import load
from sixfold.recipe.receipt import Receipt
from sixfold.recipe.report import Report
from sixfold.serve.app import create

RECIPE = """version: 1
name: small
task: recommendation
data: {source: "planted:80x50x10", time: time}
build:
  - {family: popularity}
  - {family: item_knn, neighbors: [10, 30]}
  - {family: als, factors: 4, iterations: 4}
evaluate: {folds: 2}
"""
ROOT = Path(__file__).parents[1]
SAME = ("recommender.safetensors", "signature.json", "recipe.yaml", "parity.jsonl.gz")
Send = Callable[..., httpx.Response]


def run(folder: Path, recipe: str = RECIPE, out: str = "run", **options: Any) -> pipeline.Run:
    (folder / "r.yaml").write_text(recipe)
    return pipeline.run(load(folder / "r.yaml"), folder / out, **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    return run(tmp_path_factory.mktemp("recommendation"))


@pytest.fixture(scope="module")
def bundle(done: pipeline.Run) -> Bundle:
    return load_bundle(done.bundle)


@pytest.fixture(scope="module")
def send(bundle: Bundle) -> Send:
    app = create(bundle, bundle.recipe.serve)
    app.server.warm()

    def send(method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())

    return send


def test_receipt_and_report(done: pipeline.Run) -> None:
    receipt = Receipt.model_validate_json((done.bundle / "receipt.json").read_text())
    first = receipt.quality[0]
    assert first.metric == "ndcg_at_10"
    assert first.baseline is not None
    assert first.holdout_after is not None
    assert receipt.rows_holdout == 160
    assert receipt.after.file_bytes == (done.bundle / SAME[0]).stat().st_size
    assert receipt.after.p50_64_ms is not None
    assert receipt.parity_rows == 160
    assert receipt.parity_worst < 1e-4
    report = Report.model_validate_json((done.bundle / "report.json").read_text())
    assert [column.name for column in report.columns] == ["user", "item", "time"]
    assert len(report.leaderboard) == 4
    assert all(user.had and len(user.gets) == 5 for user in report.recommended)
    page = (done.bundle / "report.html").read_text()
    assert "Who gets what" in page
    assert "giving everybody the popular items" in page and "ignoring the" not in page
    assert "Giving everybody the popular items gives ndcg_at_10" in receipt_table.text(receipt)


def test_the_bundle_is_proved_again(done: pipeline.Run) -> None:
    assert read_manifest(done.bundle).runtime == "recommender"
    told = verify(done.bundle)
    assert told[-1].startswith("parity: 160 stored requests answered again")


def test_the_same_recipe_gives_the_same_bytes(done: pipeline.Run, tmp_path: Path) -> None:
    again = run(tmp_path)
    for name in SAME:
        assert (again.bundle / name).read_bytes() == (done.bundle / name).read_bytes(), name


class KilledError(Exception):
    """In the place of a signal."""


@pytest.mark.parametrize("place", [2, 5])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    done: pipeline.Run, tmp_path: Path, place: int
) -> None:
    seen = []

    def kill(event: dict[str, Any]) -> None:
        seen.append(event)
        if sum(one["event"] == "fold_scored" for one in seen) == place:
            raise KilledError

    with pytest.raises(KilledError):
        run(tmp_path, listeners=[kill])
    again = run(tmp_path)
    for name in SAME:
        assert (again.bundle / name).read_bytes() == (done.bundle / name).read_bytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"source": "planted:80x50x10", "time": "time", "group": "user"}},
        {"evaluate": {"scheme": "leave_last", "metrics": ["mrr", "recall_at_20"]}},
        {"data": {"source": "planted:80x50x10", "holdout": 0}},
        {"build": [{"family": "bpr", "factors": 4, "epochs": 3}], "evaluate": {"nested": 2}},
    ],
    ids=["whole users", "leave last", "without time and holdout", "nested"],
)
def test_other_ways_to_divide(tmp_path: Path, changes: dict[str, Any]) -> None:
    value = yaml.safe_load(RECIPE) | changes
    made = run(tmp_path, yaml.safe_dump(value))
    assert verify(made.bundle)


@pytest.mark.slow
def test_vectors_in_8_bits_stand_in_the_receipt(tmp_path: Path) -> None:
    value = yaml.safe_load(RECIPE)
    value["data"]["source"] = "planted:300x60x12"
    value["build"] = [{"family": "als", "factors": 8, "iterations": 10}]
    value["compress"] = {"quantize": "int8", "keep": {"ndcg_at_10": -0.05}, "keep_lift": 0}
    made = run(tmp_path, yaml.safe_dump(value))
    receipt = made.receipt
    assert receipt.verdict == "compressed"
    assert receipt.after.file_bytes < receipt.before.file_bytes
    assert receipt.after.file_bytes == (made.bundle / SAME[0]).stat().st_size
    assert receipt.quality[0].folds_before != ()
    assert "8 bits" in receipt.steps[0].why
    assert verify(made.bundle)


def test_a_recipe_without_families_tries_them_all(tmp_path: Path) -> None:
    value = yaml.safe_load(RECIPE)
    del value["build"]
    made = run(tmp_path, yaml.safe_dump(value))
    assert {row.family for row in made.leaderboard.standings} == {
        "popularity",
        "item_knn",
        "als",
        "bpr",
    }


def test_check_forecasts(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    told = CliRunner().invoke(group, ["check", str(tmp_path / "r.yaml")])
    assert told.exit_code == 0, told.output
    assert "als" in told.output


def test_too_little_memory_is_told_before(tmp_path: Path) -> None:
    value = yaml.safe_load(RECIPE) | {"budget": {"memory": "1MiB"}}
    with pytest.raises(BudgetError):
        run(tmp_path, yaml.safe_dump(value))


def test_what_a_users_items_add_is_told(send: Send) -> None:
    answer = send("POST", "/recommend", json={"user": "u3", "k": 3, "explain": True}).json()
    for one in answer["items"]:
        assert "because" not in one
        total = sum(part["adds"] for part in one["parts"])
        assert total == pytest.approx(one["score"], rel=1e-3)
    refused = send("POST", "/recommend", json={"user": "u3", "explain": 1})
    assert refused.status_code == 422


def test_a_user_gets_items_that_he_has_not(send: Send) -> None:
    answer = send("POST", "/recommend", json={"user": "u3", "k": 4, "because": True})
    assert answer.status_code == 200
    found = answer.json()
    assert list(found) == ["items", "basis", "unknown"]
    assert len(found["items"]) == 4
    assert found["basis"] == "user"
    scores = [one["score"] for one in found["items"]]
    assert scores == sorted(scores, reverse=True)
    names = [one["item"] for one in found["items"]]
    assert send("POST", "/recommend", json={"user": "u3", "k": 4}).json()["items"] == [
        {"item": one["item"], "score": one["score"]} for one in found["items"]
    ]
    fewer = send("POST", "/recommend", json={"user": "u3", "k": 3, "blocked": names[:1]}).json()
    assert [one["item"] for one in fewer["items"]] == names[1:]


def test_sessions_strangers_and_similar_items(send: Send) -> None:
    session = send("POST", "/recommend", json={"items": ["i1", "i2", "?"]}).json()
    assert (session["basis"], session["unknown"]) == ("session", ["?"])
    stranger = send("POST", "/recommend", json={"user": "nobody"}).json()
    assert (stranger["basis"], stranger["unknown"]) == ("popularity", ["nobody"])
    similar = send("POST", "/recommend", json={"similar_to": "i1", "k": 2}).json()
    assert similar["basis"] == "similar"
    assert "i1" not in [one["item"] for one in similar["items"]]
    assert send("POST", "/recommend", json={}).json()["basis"] == "popularity"


WRONG: dict[str, tuple[Any, int, str]] = {
    "no mapping": ([1], 422, "the body"),
    "another key": ({"usr": "a"}, 422, "the body"),
    "no name": ({"user": ["a"]}, 422, "user"),
    "an empty name": ({"items": ["i1", ""]}, 422, "items, entry 2"),
    "no list": ({"blocked": "i1"}, 422, "blocked"),
    "too many": ({"k": 1001}, 422, "k"),
    "none": ({"k": 0}, 422, "k"),
    "a half": ({"k": 1.5}, 422, "k"),
    "a word": ({"exclude_seen": "yes"}, 422, "exclude_seen"),
    "two questions": ({"user": "u1", "similar_to": "i1"}, 422, "similar_to"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_asked_wrongly_is_refused_in_four_parts(send: Send, case: str) -> None:
    body, status, where = WRONG[case]
    answer = send("POST", "/recommend", json=body)
    assert answer.status_code == status
    assert list(answer.json()["error"]) == ["where", "expected", "found", "remedy"]
    assert answer.json()["error"]["where"] == where


def test_other_refusals(send: Send) -> None:
    assert send("POST", "/recommend", content=b"{").status_code == 400
    csv = {"Content-Type": "text/csv"}
    assert send("POST", "/recommend", content=b"user\nu1\n", headers=csv).status_code == 415
    assert send("GET", "/recommend").status_code == 405


def test_rows_of_users_are_predicted_as_rows(send: Send, bundle: Bundle) -> None:
    answer = send("POST", "/predict", json=[{"user": "u1"}, {"user": "nobody"}])
    assert answer.status_code == 200, answer.text
    lists = [json.loads(one["items"]) for one in answer.json()["predictions"]]
    best = send("POST", "/recommend", json={"user": "u1"}).json()["items"]
    assert lists[0] == [one["item"] for one in best]
    told = bundle.predict([{"user": "u1"}]).records()
    assert json.loads(told[0]["items"]) == lists[0]


def test_pages_and_documents_tell_of_it(send: Send) -> None:
    assert "/recommend" in send("GET", "/openapi.json").json()["paths"]
    for path in ("/", "/docs", "/signature", "/readyz", "/metrics"):
        assert send("GET", path).status_code == 200, path
    assert "/recommend" in send("GET", "/docs").text


def test_init_writes_a_recipe_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"u{n % 20},i{n * n % 31},{5 + n % 3},{n}" for n in range(300)]
    (tmp_path / "seen.csv").write_text("user,item,rating,time\n" + "\n".join(rows) + "\n")
    told = CliRunner().invoke(group, ["init", "seen.csv", "--task", "recommendation"])
    assert told.exit_code == 0, told.output
    text = (tmp_path / "seen.yaml").read_text()
    data = yaml.safe_load(text)["data"]
    assert data["interactions"] == {"user": "user", "item": "item", "rating": "rating"}
    assert data["time"] == "time"
    made = run(tmp_path, text)
    assert verify(made.bundle)


def test_init_asks_for_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("who,what\na,x\nb,y\n")
    told = CliRunner().invoke(group, ["init", "t.csv", "--task", "recommendation"])
    assert told.exit_code != 0
    assert "data.interactions.user" in str(told.exception)


LARGE = """version: 1
name: large
task: recommendation
data: {source: seen.parquet, time: time}
build: [{family: FAMILY}]
evaluate: {scheme: leave_last, metrics: [recall_at_10]}
"""
CHILD = """
from pathlib import Path
from sixfold import pipeline
from sixfold.core.memory import peak_bytes
from sixfold.recipe.load import load
pipeline.run(load(Path("r.yaml")), Path("run"))
print(peak_bytes())
"""


INTERACTIONS = int(os.environ.get("SIXFOLD_LARGE_ROWS", "250000"))
OWN_BYTES = 1 << 30  # of the program, what it imports, and the items, whatever the users


@pytest.mark.slow
def test_a_million_interactions_with_50_000_items_fit_into_2_gib(tmp_path: Path) -> None:
    """Popularity; other families by bench/recommend.py. Here of a quarter of the users, and within what that leaves for
    them; of all by `make figures`.
    """
    rng, rows = np.random.default_rng(0), INTERACTIONS
    users = rng.integers(0, rows // 200, rows)
    items = np.minimum((50_000 * rng.random(rows) ** 2).astype(np.int64), 49_999)
    frame = pd.DataFrame({"user": users, "item": items, "time": rng.integers(0, 10**9, rows)})
    frame.to_parquet(tmp_path / "seen.parquet")
    del frame
    (tmp_path / "r.yaml").write_text(LARGE.replace("FAMILY", "popularity"))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    most = OWN_BYTES + ((2 << 30) - OWN_BYTES) * rows // 1_000_000
    assert int(done.stdout.split()[-1]) <= most


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sign"), [("u.data", "\t"), ("ratings.dat", "::")])
def test_movie_ratings_are_converted_and_learned(tmp_path: Path, name: str, sign: str) -> None:
    """docs/how-to/movie-ratings.md: its code, on files as MovieLens has them, and its recipe."""
    rows = [
        (user, 1 + (3 * user + turn) % 40, 1 + turn % 5, 881_250_949 + 60 * turn)
        for user in range(1, 41)
        for turn in range(12)
    ]
    (tmp_path / name).write_text("".join(sign.join(map(str, row)) + "\n" for row in rows))
    (tmp_path / "recipes").mkdir()
    page = (ROOT / "docs" / "how-to" / "movie-ratings.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    recipe = (ROOT / "recipes" / "movies.yaml").read_text()
    (tmp_path / "recipes" / "movies.yaml").write_text(recipe)
    loaded = load(tmp_path / "recipes" / "movies.yaml", ["train.epochs=1"])
    found = pipeline.run(loaded, tmp_path / "run")
    report = Report.model_validate_json((found.bundle / "report.json").read_text())
    families = {"popularity", "item_knn", "als", "bpr", "sasrec"}
    assert {row.family for row in report.leaderboard} == families
