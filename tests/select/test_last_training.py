"""A last training that learned less than those of the folds is told of, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import evaluating
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.runs.context import Context
from sixfold.select.last_training import lost

ROWS = 200


def dataset(task: str) -> Dataset:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 2))
    values = x @ [1.0, -2.0] + 0.3 * rng.normal(size=ROWS)
    target = Target("regression", values, ("y",))
    if task == "classification":
        target = Target(task, (values > 0).astype(np.int64), ("y",), ("no", "yes"))
    columns = {f"x{at}": Column("number", x[:, at]) for at in range(2)}
    return Dataset(Table(columns, ROWS), target)


FOLDS = [
    Fold(np.flatnonzero(np.arange(ROWS) % 4 != at), np.flatnonzero(np.arange(ROWS) % 4 == at))
    for at in range(4)
]


def told(task: str, metric: str, build: dict[str, Any], spoiled: bool) -> str:
    data = dataset(task)
    one = evaluating.candidate(build)
    found = cross_validate(one, data, FOLDS, [metric], Context())
    rows = np.random.default_rng(2).permutation(ROWS)
    target = data.target.take(rows) if spoiled else data.target  # what it learned is not these rows
    model = fit_model(one, replace(data, target=target), Context())
    return lost(data, found, model, metric, baseline(data, FOLDS, [metric])[metric])


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("classification", "accuracy"),
        ("classification", "log_loss"),
        ("classification", "roc_auc"),
        ("regression", "rmse"),
        ("regression", "r2"),
    ],
)
@pytest.mark.parametrize("family", ["linear", "boosting"])
def test_what_was_not_learned_is_told(task: str, metric: str, family: str) -> None:
    text = told(task, metric, {"family": family}, spoiled=True)
    assert f"trained again on all rows, scores {metric} " in text
    assert "another initialize.seed" in text
    assert told(task, metric, {"family": family}, spoiled=False) == ""


def test_what_cannot_be_told_is_not() -> None:
    """A metric that some fold does not define, and models that gain nothing."""
    data = dataset("regression")
    one = evaluating.candidate({"family": "linear"})
    found = cross_validate(one, data, FOLDS, ["rmse"], Context())
    model = fit_model(one, data, Context())
    nothing = replace(found, scores={"rmse": np.full(4, np.nan)})
    assert lost(data, nothing, model, "rmse", np.ones(4)) == ""
    same = found.scores["rmse"]
    assert lost(data, found, model, "rmse", same) == ""
