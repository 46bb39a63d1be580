"""Weights, a positive class and a constraint from the recipe to the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

import sixfold
from sixfold.core.errors import SixfoldError

ROWS = 160
RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "weighed",
    "build": [
        {"family": "linear"},
        {"family": "boosting", "rounds": 20, "patience": None, "monotone": {"a": 1}},
    ],
    "train": {"class_weight": ["balanced", None]},
    "evaluate": {
        "folds": 2,
        "metrics": ["log_loss", "accuracy", "recall"],
        "positive": "ill",
        "threshold": 0.4,
        "ensemble": True,
    },
}


def table(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    a, b, weight = rng.normal(size=ROWS), rng.normal(size=ROWS), rng.integers(0, 4, ROWS)
    ill = a + b + 0.5 * rng.normal(size=ROWS) > 0.7
    rows = zip(a, b, weight, np.where(ill, "ill", "well"), strict=True)
    lines = "".join(f"{one:.4f},{two:.4f},{count},{label}\n" for one, two, count, label in rows)
    (folder / "t.csv").write_text("a,b,w,y\n" + lines)
    return {"source": str(folder / "t.csv"), "target": "y", "weight": "w", "holdout": 0.25}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("weighed")
    return sixfold.run({**RECIPE, "data": table(folder)}, out=folder / "run"), folder


def test_every_candidate_is_there_with_both_weights_of_classes(run: Any) -> None:
    report = json.loads((run[0].bundle / "report.json").read_text())
    names = {line["name"] for line in report["leaderboard"]}
    assert {
        "linear class_weight=balanced",
        "linear class_weight=None",
        "boosting class_weight=balanced",
        "boosting class_weight=None",
        "ensemble",
    } == names
    assert any("weighs the rows: w, from 0 to 3" in note for note in report["notes"])
    assert any("positive class is 'ill'" in note for note in report["notes"])


def test_the_bundle_asks_for_no_weight_and_decides_by_the_threshold(run: Any) -> None:
    bundle = sixfold.load(run[0].bundle)
    assert [column.name for column in bundle.signature.inputs] == ["a", "b"]
    assert bundle.signature.classes == ("well", "ill")
    answer = bundle.predict([{"a": 0.1 * i, "b": 0.2} for i in range(-20, 20)])
    p = np.asarray(answer.probabilities)[:, 1]
    assert np.asarray(answer.labels).tolist() == np.where(p > 0.4, "ill", "well").tolist()
    assert 0 < (p > 0.4).sum() < 40


def test_the_scores_out_of_fold_are_weighed(run: Any) -> None:
    """Of the winner, from the file that everybody can read."""
    import pyarrow.parquet as pq

    found, folder = run
    answers = pq.read_table(next(Path(found.folder).rglob("out_of_fold.parquet"))).to_pandas()
    report = json.loads((found.bundle / "report.json").read_text())
    winner = next(line for line in report["leaderboard"] if line["name"] == found.receipt.candidate)
    assert winner
    del folder
    name, quality = found.receipt.candidate, {one.metric: one for one in found.receipt.quality}
    assert set(quality) == {"log_loss", "accuracy", "recall"}
    assert 0.5 < np.mean(quality["accuracy"].folds_before) <= 1.0
    labels, truth = answers[f"{name}: label"], answers["target"]
    plain = [
        accuracy_score(truth[rows], labels[rows])
        for rows in (answers["fold"] == 0, answers["fold"] == 1)
    ]
    assert quality["accuracy"].folds_before != pytest.approx(plain)  # rows count 0 to 3 times
    assert recall_score(truth == "ill", labels == "ill") > 0.5


def test_the_holdout_without_a_row_that_counts_is_told(tmp_path: Path) -> None:
    """All weights are in the rows that are trained on: no score, and no failure."""
    data = table(tmp_path)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    test = [line.rsplit(",", 2) for line in lines[1:31]]
    (tmp_path / "u.csv").write_text(
        "\n".join([lines[0], *(f"{a},0,{y}" for a, _, y in test)]) + "\n"
    )
    data = {**data, "test": str(tmp_path / "u.csv")}
    del data["holdout"]
    recipe = {**RECIPE, "data": data, "build": [{"family": "linear"}], "train": {}}
    recipe["evaluate"] = {"folds": 2, "metrics": ["accuracy"]}
    found = sixfold.run(recipe, out=tmp_path / "run")
    assert found.receipt.quality[0].holdout_after is None


def test_a_fold_without_a_row_that_counts_is_refused(tmp_path: Path) -> None:
    data = table(tmp_path)
    text = (tmp_path / "t.csv").read_text().splitlines()
    rows = [line.rsplit(",", 2) for line in text[1:]]
    weighed = [f"{a},{1 if i == 3 else 0},{y}" for i, (a, _, y) in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join([text[0], *weighed]) + "\n")
    recipe = {**RECIPE, "data": {**data, "holdout": 0}, "build": [{"family": "linear"}]}
    recipe["evaluate"] = {"folds": 2, "metrics": ["accuracy"]}
    with pytest.raises(SixfoldError) as error:
        sixfold.run(recipe, out=tmp_path / "run")
    assert "metric" in str(error.value) or "weight" in str(error.value)
