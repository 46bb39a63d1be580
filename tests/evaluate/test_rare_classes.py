"""A class with one or two rows stops nobody: every family, every scheme, calibration, thresholds,
nested folds, a whole run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluating import candidate
from sixfold import pipeline
from sixfold.data import holdout
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import FAMILY, METRIC
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Data, Evaluate
from sixfold.runs.context import Context

ECOLI = Path(__file__).parents[3] / "shared" / "data" / "tables" / "ecoli.csv"
COUNTS = (40, 30, 12, 5, 2, 2, 1)
FAMILIES = [
    name
    for name in FAMILY.names()
    if "classification" in FAMILY.load(name).tasks and "numbers" in FAMILY.load(name).reads
]
SMALL: dict[str, Any] = {
    "boosting": {"rounds": 5},
    "forest": {"trees": 3},
    "extra_trees": {"trees": 3},
    "mlp": {"hidden": [4]},
    "svm": {"kernel": "rbf"},
}


def dataset(counts: tuple[int, ...] = COUNTS) -> Dataset:
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    columns = {
        f"x{i}": Column("number", codes * (i + 1.0) + rng.normal(size=len(codes))) for i in range(3)
    }
    names = tuple(f"c{i}" for i in range(len(counts)))
    return Dataset(Table(columns, len(codes)), Target("classification", codes, ("y",), names))


def built(family: str, **calibration: Any) -> Any:
    train = {"epochs": 2, "stop": {"patience": 1}}
    return candidate({"family": family, **SMALL.get(family, {})}, None, train, calibration)


@pytest.mark.parametrize("calibrate", ["none", "platt", "isotonic"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, calibrate: str) -> None:
    data = dataset()
    folds = make(Evaluate(scheme="stratified", folds=3), data)
    found = cross_validate(built(family, calibrate=calibrate), data, folds, ["accuracy"], Context())
    assert np.isfinite(found.scores["accuracy"]).all()
    validated = np.isfinite(found.predictions).all(axis=1)
    assert (~validated).sum() == 1 and data.target.values[~validated] == len(COUNTS) - 1


@pytest.mark.parametrize("rare", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_thresholds_of_two_classes(family: str, rare: int) -> None:
    model = fit_model(built(family, threshold="f1"), dataset((40, rare)), Context())
    assert model.threshold is not None and np.isfinite(model.threshold)


@pytest.mark.parametrize("scheme", ["auto", "stratified", "kfold", "repeated", "holdout"])
def test_every_metric_of_many_classes_is_defined(scheme: str) -> None:
    data = dataset()
    names = [name for name in METRIC.names() if "classification" in METRIC.load(name).tasks]
    assert set(baseline(data, make(Evaluate(scheme=scheme), data), names)) == set(names)


@pytest.mark.parametrize("rare", [2, 3, 4, 6])
def test_every_metric_of_two_classes_is_defined(rare: int) -> None:
    data = dataset((30, rare))
    assert set(baseline(data, make(Evaluate(), data), ["roc_auc", "log_loss", "f1"])) == {
        "roc_auc",
        "log_loss",
        "f1",
    }


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_holdout_leaves_a_row_of_every_class(seed: int, groups: bool) -> None:
    data = dataset()
    if groups:
        data = Dataset(data.table, data.target, np.arange(data.table.rows) // 4)
    training, held = holdout.split(data, Data(source="frame", target="y", seed=seed))
    assert set(data.target.values[training]) == set(range(len(COUNTS)))
    assert len(held)


RUNS: dict[str, dict[str, Any]] = {
    "defaults": {"build": {"family": "linear"}},
    "stratified": {"build": {"family": "tree"}, "evaluate": {"scheme": "stratified"}},
    "nested": {"build": {"family": "tree"}, "evaluate": {"nested": 3}},
    "merge": {"build": {"family": "tree"}, "data": {"rare": "merge"}},
    "drop": {"build": {"family": "tree"}, "data": {"rare": "drop"}},
    "auto": {"build": "auto"},
}


@pytest.mark.parametrize(
    "name",
    ["stratified", *(pytest.param(n, marks=pytest.mark.slow) for n in RUNS if n != "stratified")],
)
def test_ecoli(name: str, tmp_path: Path) -> None:
    """336 rows in eight classes, two of which have two rows; and a class with one row more."""
    if not ECOLI.exists():
        pytest.skip(f"{ECOLI} is not there")
    frame = pd.read_csv(ECOLI, header=None, names=[*"abcdefg", "y"])
    frame.loc[len(frame)] = [*frame.iloc[0, :7].to_numpy() / 2, "only"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    asked = {**RUNS[name]}
    data = {"source": str(tmp_path / "t.csv"), "target": "y", **asked.pop("data", {})}
    found = pipeline.run(from_object({"version": 1, "data": data, **asked}), tmp_path / "run")
    kept = data.get("rare", "keep") == "keep"
    assert any("only (1" in text for text in found.warnings) is (data.get("rare") != "merge")
    assert next(q for q in found.receipt.quality if q.metric == "accuracy").baseline is not None
    assert found.receipt.rows_trained + found.receipt.rows_holdout == (
        337 if kept or name == "merge" else 332
    )
