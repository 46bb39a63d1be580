"""Several targets: each is learned as it is alone where a family is separable, and all are scored by their mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from evaluating import candidate
from sixfold.core.errors import DataError, RecipeError
from sixfold.data.load import from_frame
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Data
from sixfold.runs.context import Context
from sixfold.select.significance import Draws, Predicted, by_rows

Array = np.ndarray[Any, Any]
ROWS = 120
METRICS = ("rmse", "mae", "r2")
FOLDS = [
    Fold(np.flatnonzero(np.arange(ROWS) % 2 == k), np.flatnonzero(np.arange(ROWS) % 2 != k))
    for k in range(2)
]
LOOP = {"epochs": 2}


def data() -> Dataset:
    """Two targets in units of their own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    y = np.stack([1e3 * x[:, 0] + rng.normal(size=ROWS), x[:, 1] ** 2 + x[:, 2]], axis=1)
    columns = {name: Column("number", x[:, at]) for at, name in enumerate("abc")}
    return Dataset(Table(columns, ROWS), Target("regression", y, ("u", "v")))


def of_one(whole: Dataset, at: int) -> Dataset:
    return replace(whole, target=whole.target.each[at])


@pytest.mark.parametrize(
    "build",
    [
        {"family": "linear"},
        {"family": "linear", "penalty": "l1"},
        {"family": "linear", "penalty": "none"},
        {"family": "linear", "alpha": "auto"},
        {"family": "kernel_ridge"},
        {"family": "boosting", "rounds": 12},
        {"family": "svm", "kernel": "linear"},
    ],
    ids=str,
)
def test_separable_families_score_each_target_as_alone(build: dict[str, Any]) -> None:
    whole, one = data(), candidate(build)
    both = cross_validate(one, whole, FOLDS, METRICS, Context())
    alone = [cross_validate(one, of_one(whole, at), FOLDS, METRICS, Context()) for at in range(2)]
    for at, single in enumerate(alone):
        near = 1e-6 * whole.target.values[:, at].std()
        assert both.predictions[:, at] == pytest.approx(single.predictions[:, 0], abs=near)
    for metric in METRICS:
        mean = np.mean([single.scores[metric] for single in alone], axis=0)
        assert both.scores[metric] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        {"family": "linear"},
        {"family": "boosting", "rounds": 5},
        {"family": "svm"},
        {"family": "kernel_ridge"},
        {"family": "tree"},
        {"family": "forest", "trees": 5},
        {"family": "extra_trees", "trees": 5},
        {"family": "mlp", "hidden": [4]},
        {"family": "residual_mlp", "width": 4, "blocks": 1},
        {"family": "tabm", "width": 4, "blocks": 1, "members": 2},
    ],
    ids=lambda build: build["family"],
)
def test_every_family_of_tables_answers_all_targets_in_one_graph(build: dict[str, Any]) -> None:
    whole = data()
    model = fit_model(candidate(build, train=LOOP), whole, Context())
    predicted = model.predict(whole.table)
    assert predicted.shape == (ROWS, 2)
    assert model.values == ("u", "v")
    session = onnxruntime.InferenceSession(model.export().SerializeToString())
    x = np.stack([column.values for column in whole.table.columns.values()], axis=1)
    (found,) = session.run(["value"], {"numbers": x})
    assert found == pytest.approx(predicted, rel=1e-5, abs=1e-5)


def test_scores_are_means_over_the_targets() -> None:
    """Not of all values in one heap, where the target with the largest numbers would decide."""
    target, predicted = data().target, data().target.values + np.array([100.0, 1.0])
    found = scoring.score_all(METRICS, target, predicted, "value")
    assert found["rmse"] == pytest.approx((100 + 1) / 2)
    assert found["mae"] == pytest.approx((100 + 1) / 2)
    pieces = scoring.score_pieces("rmse", target, predicted, 4)
    assert pieces == pytest.approx([50.5] * 4)
    first, second = (
        Predicted(name, target.values + off, "value")
        for name, off in (("a", 1.0), ("b", [3.0, 1.0]))
    )
    difference = by_rows(first, second, target, "rmse", draws=Draws(20))
    assert difference.difference == pytest.approx(1.0)


def frame() -> Any:
    import pandas as pd

    return pd.DataFrame(
        {"a": [1.0, 2, 3, 4], "u": [1.0, None, 3, 4], "v": [5.0, 6, None, 9], "w": list("abcd")}
    )


def test_rows_that_lack_a_target_are_left_out() -> None:
    found = from_frame(frame(), Data(source="frame", target=("u", "v")), None)
    assert found.target.values.tolist() == [[1.0, 5.0], [4.0, 9.0]]
    assert found.target.names == ("u", "v")
    assert list(found.table.columns) == ["a", "w"]
    assert any("2 rows have no target" in note for note in found.notes)


def test_one_target_in_a_list_is_one_target() -> None:
    found = from_frame(frame(), Data(source="frame", target=("u",)), None)
    assert found.target.values.tolist() == [1.0, 3.0, 4.0]


def test_several_targets_are_numbers() -> None:
    section = Data(source="frame", target=("u", "w"))
    with pytest.raises(DataError, match="a number"):
        from_frame(frame(), section, None)
    with pytest.raises(RecipeError, match="one column for task: classification; found u, w"):
        from_frame(frame(), section, "classification")


def test_no_row_with_all_targets_is_told() -> None:
    empty = frame().assign(u=[1.0, 2.0, None, None], v=[None, None, 1.0, 2.0])
    with pytest.raises(DataError, match="a row that has all targets; found none"):
        from_frame(empty, Data(source="frame", target=("u", "v")), None)
