"""Large one-hot tables train on sparse features, and what is learned from them is what dense ones
teach.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import issparse

from evaluating import candidate, dataset
from sixfold.evaluate import model
from sixfold.evaluate.model import Model, fit_prepared, prepare_rows
from sixfold.parts import sparse
from sixfold.parts.table import Dataset, Task
from sixfold.recipe.kinds import FAMILY
from sixfold.runs.context import Context

TASKS: list[Task] = ["classification", "regression", "reconstruction"]
STOP = {"epochs": 6, "stop": {"patience": 3}, "batch_size": 16, "precision": "float64"}
BUILDS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"family": "linear"}, None),
    ({"family": "linear", "penalty": "l1"}, None),
    ({"family": "linear", "penalty": "none"}, None),
    ({"family": "svm", "kernel": "linear"}, None),
    ({"family": "svm", "kernel": "rbf", "sample": 40}, None),
    ({"family": "svm", "kernel": "rbf"}, None),
    ({"family": "mlp", "hidden": [8]}, STOP),
    ({"family": "mlp", "hidden": [8]}, {**STOP, "batch_size": "full", "stop": {}}),
    ({"family": "mlp", "hidden": [8]}, {**STOP, "stop": {"patience": 3, "metric": "loss"}}),
]
CASES = [
    (*pair, task)
    for pair in BUILDS
    for task in TASKS
    if task in FAMILY.make(pair[0], "family").tasks
]


def towns(task: Task) -> Dataset:
    """Only the category: the other columns would fill the rows with numbers."""
    whole = dataset(120, task)
    table = whole.table
    return Dataset(type(table)({"town": table.columns["town"]}, table.rows), whole.target)


def fitted(
    build: dict[str, Any], train: dict[str, Any] | None, data: Dataset
) -> tuple[Model, bool]:
    chosen = candidate(build, {"impute": {"category": "most_frequent"}}, train)
    prepared = prepare_rows(chosen, data, Context())
    return fit_prepared(chosen, prepared, data.target, Context()), issparse(prepared.x)


@pytest.mark.parametrize(("build", "train", "task"), CASES)
def test_sparse_features_teach_what_dense_ones_do(
    build: dict[str, Any], train: dict[str, Any] | None, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = towns(task)
    plain, was_sparse = fitted(build, train, data)
    assert not was_sparse
    monkeypatch.setattr(sparse, "DENSE_BYTES", 0)
    found, is_sparse = fitted(build, train, data)
    assert is_sparse
    loose = build.get("penalty") == "l1" and task == "classification"  # liblinear's own tolerance
    np.testing.assert_allclose(
        found.predict(data.table), plain.predict(data.table), atol=1e-4 if loose else 1e-6
    )


@pytest.mark.parametrize("family", ["tree", "forest", "extra_trees", "boosting"])
def test_families_that_take_none_get_none(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "DENSE_BYTES", 0)
    chosen = candidate({"family": family}, {"features": {"category": "one_hot"}})
    assert not issparse(prepare_rows(chosen, towns("classification"), Context()).x)


@pytest.mark.parametrize("after", [{"reduce": "pca"}, {"select": "mutual_information"}])
def test_what_looks_at_all_features_gets_them_dense(
    after: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "DENSE_BYTES", 0)
    chosen = candidate({"family": "linear"}, {"features": after})
    assert not issparse(prepare_rows(chosen, towns("classification"), Context()).x)


def test_many_rows_are_predicted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(90)
    trained, _ = fitted({"family": "linear"}, None, data)
    whole = trained.predict(data.table)
    monkeypatch.setattr(model, "AT_ONCE", 10)
    monkeypatch.setattr("sixfold.prepare.preparer.BATCH_ROWS", 7)
    np.testing.assert_allclose(trained.predict(data.table), whole, atol=1e-12)
