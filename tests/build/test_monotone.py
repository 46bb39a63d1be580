"""Constraints: what is predicted only rises, or only falls, with a column; on any grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluating import candidate
from sixfold.core.errors import RecipeError
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.constraints import check_constraints
from sixfold.recipe.schema import Prepare
from sixfold.runs.context import Context

Array = np.ndarray[Any, Any]
ROWS = 150
SEEDS = st.integers(0, 2**32 - 1)


def rows(seed: int, classes: bool) -> Dataset:
    """What is predicted hangs on all columns, by no rule that a constraint knows; a gap here and there."""
    rng = np.random.default_rng(seed)
    age, wage = rng.normal(40, 10, ROWS), np.exp(rng.normal(size=ROWS))
    wage[rng.random(ROWS) < 0.1] = np.nan
    town = rng.integers(0, 3, ROWS).astype(np.int32)
    y = np.sin(age / 5) * 2 + np.nan_to_num(np.log(wage)) + town + rng.normal(size=ROWS)
    columns = {
        "age": Column("number", age),
        "town": Column("category", town, ("a", "b", "c")),
        "wage": Column("number", wage),
    }
    target = Target("regression", y, ("y",))
    if classes:
        target = Target("classification", (y > np.median(y)).astype(np.int64), ("y",), ("n", "j"))
    return Dataset(Table(columns, ROWS), target)


def along(model: Model, data: Dataset, name: str, steps: Array) -> Array:
    """[rows, steps] what is predicted of each row with other values of one column."""
    found = []
    for value in steps:
        columns = {**data.table.columns, name: Column("number", np.full(ROWS, value))}
        found.append(model.predict(Table(columns, ROWS))[:, -1])
    return np.stack(found, axis=1)


OPTIONS = {"family": "boosting", "rounds": 30, "patience": None, "min_rows_leaf": 3}


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.sampled_from([1, -1]), st.booleans())
@pytest.mark.parametrize("numbers", [None, ["standard"], ["quantile"]])
def test_no_violation_on_a_grid(numbers: Any, seed: int, sign: int, classes: bool) -> None:
    data = rows(seed, classes)
    prepare = (
        {} if numbers is None else {"impute": {"number": "median"}, "features": {"number": numbers}}
    )
    one = candidate({**OPTIONS, "monotone": {"age": sign, "wage": -sign}}, prepare)
    model = fit_model(one, data, Context(seed=seed))
    for name, way, steps in (
        ("age", sign, np.linspace(0, 80, 60)),
        ("wage", -sign, np.geomspace(0.01, 50, 60)),
    ):
        moved = np.diff(along(model, data, name, steps), axis=1) * way
        assert moved.min() >= -1e-9


def test_a_constraint_that_is_right_costs_nothing_of_the_column() -> None:
    data = rows(0, classes=False)
    model = fit_model(candidate({**OPTIONS, "monotone": {"wage": 1}}), data, Context())
    moved = np.diff(along(model, data, "wage", np.geomspace(0.01, 50, 60)), axis=1)
    assert moved.min() >= -1e-9
    assert moved.sum(axis=1).min() > 0.5


def test_without_a_constraint_there_are_violations() -> None:
    data = rows(0, classes=False)
    model = fit_model(candidate(OPTIONS), data, Context())
    moved = np.diff(along(model, data, "age", np.linspace(0, 80, 60)), axis=1)
    assert moved.min() < -0.1 < 0.1 < moved.max()


def test_a_constraint_holds_with_weights_and_an_early_stop() -> None:
    data = rows(1, classes=True)
    weights = np.random.default_rng(0).integers(1, 5, ROWS).astype(np.float64)
    data = replace(data, target=replace(data.target, weights=weights))
    one = candidate({"family": "boosting", "validation": 0.3, "monotone": {"age": 1}})
    model = fit_model(one, data, Context())
    assert np.diff(along(model, data, "age", np.linspace(0, 80, 60)), axis=1).min() >= -1e-9


@pytest.mark.parametrize(
    ("monotone", "prepare", "text"),
    [
        (
            {"town": 1},
            {},
            "build, boosting, monotone: expected columns of numbers, whose values have an order; found 'town', a category. "
            "Leave it out, or say data.types: {town: number} if its values are numbers.",
        ),
        (
            {"agee": 1},
            {},
            "build, boosting, monotone: expected names of columns; found 'agee'. Did you mean 'age'? All: age, town, wage.",
        ),
        (
            {"age": 1},
            {
                "features": {"number": [{"name": "polynomial", "degree": 2}]},
                "impute": {"number": "mean"},
            },
            "build, boosting, monotone: expected one feature of 'age' that rises with it; found those of polynomial. Leave the "
            "method out, or use none, standard, robust, min_max, quantile or power.",
        ),
        (
            {"age": 1},
            {"features": {"reduce": "pca"}, "impute": {"number": "mean"}},
            "build, boosting, monotone: expected features that are columns; found prepare.features.reduce: pca, which mixes "
            "them. Leave one of the two out.",
        ),
    ],
)
def test_what_cannot_be_held(monotone: dict[str, int], prepare: dict[str, Any], text: str) -> None:
    one = candidate({"family": "boosting", "monotone": monotone}, prepare)
    with pytest.raises(RecipeError) as error:
        check_constraints(one, Prepare.model_validate(prepare), rows(0, classes=False))
    assert str(error.value) == text


def test_of_three_classes_none_can_be_held() -> None:
    data = rows(0, classes=True)
    target = replace(data.target, classes=("a", "b", "c"))
    one = candidate({"family": "boosting", "monotone": {"age": 1}})
    with pytest.raises(RecipeError, match="3 classes"):
        check_constraints(one, Prepare(), replace(data, target=target))
    check_constraints(candidate({"family": "tree"}), Prepare(), replace(data, target=target))
