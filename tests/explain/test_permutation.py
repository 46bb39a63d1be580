"""Permutation importance finds the column that matters."""

import numpy as np

from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.explain.permutation import importances
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.candidates import resolve
from sixfold.recipe import load as recipe_load
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context


def test_the_informative_column_is_first_and_noise_is_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    table = Table(
        {
            name: Column("number", x[:, i].copy())
            for i, name in enumerate(("noise", "much", "some"))
        },
        300,
    )
    data = Dataset(
        table, Target("regression", 3 * x[:, 1] + x[:, 2] + rng.normal(size=300) / 10, ("y",))
    )
    recipe = recipe_load.from_object(
        {
            "version": 1,
            "task": "regression",
            "build": {"family": "linear"},
            "data": {"source": "array", "target": "y"},
        }
    ).recipe
    folds = make(Evaluate(), data)
    found = importances(
        cross_validate(resolve(recipe, data, None)[0], data, folds, ["rmse"], Context()),
        data,
        folds,
        0,
    )
    assert [row.column for row in found] == ["much", "some", "noise"]
    assert found[0].mean > 2 and abs(found[2].mean) < 0.02
    assert found == importances(
        cross_validate(resolve(recipe, data, None)[0], data, folds, ["rmse"], Context()),
        data,
        folds,
        0,
    )
