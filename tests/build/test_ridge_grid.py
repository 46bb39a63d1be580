"""Ridge for a grid of penalties from one product equals scikit-learn's fits one by one, and the normal equations."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from sixfold.core.errors import BudgetError
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many

PENALTIES = (0.01, 100.0, 1.0)


def grid(**options: Any) -> list[Candidate]:
    made = [FAMILY.load("linear")(alpha=alpha, **options) for alpha in PENALTIES]
    return [Candidate(f"linear {at}", "linear", one, Prepare(), Initialize(), Train()) for at, one in enumerate(made)]


def problem(rows: int, features: int, outputs: int, seed: int = 0) -> Fit:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features)) * generator.uniform(0.1, 10, features) + generator.normal(size=features)
    y = x[:, :1] @ np.ones((1, outputs)) + generator.normal(size=(rows, outputs)) + 5.0
    return Fit(x, y[:, 0] if outputs == 1 else y, "regression" if outputs == 1 else "reconstruction", outputs)


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(2, 60), features=st.integers(1, 40), outputs=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_grid_equals_scikit_learn(rows: int, features: int, outputs: int, seed: int) -> None:
    """More features than rows, too; to 1e-8 of the largest prediction."""
    fit = problem(rows, features, outputs, seed)
    for alpha, found in zip(PENALTIES, fit_many(grid(), [fit], Context()), strict=True):
        wanted = Ridge(alpha=alpha, solver="svd").fit(fit.x, fit.y).predict(fit.x).reshape(rows, outputs)
        np.testing.assert_allclose(found.predict(fit.x), wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


def test_a_grid_equals_one_by_one_fold_by_fold() -> None:
    fits = [problem(50, 6, 1, seed) for seed in range(3)]
    together = iter(fit_many(grid(), fits, Context()))
    for fit in fits:
        for one in grid():
            single: Any = next(fit_many([one], [fit], Context()))
            found: Any = next(together)
            np.testing.assert_allclose(found.weights, single.weights, rtol=0, atol=1e-12)
            np.testing.assert_allclose(found.bias, single.bias, rtol=0, atol=1e-12)


def test_a_constant_and_a_repeated_column() -> None:
    fit = problem(40, 4, 1)
    x = np.concatenate([fit.x, fit.x[:, :1], np.full((40, 1), 3.0)], axis=1)
    for alpha, found in zip(PENALTIES, fit_many(grid(), [Fit(x, fit.y, "regression", 1)], Context()), strict=True):
        wanted = Ridge(alpha=alpha, solver="svd").fit(x, fit.y).predict(x)
        np.testing.assert_allclose(found.predict(x)[:, 0], wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("options", [{"penalty": "l1"}])
def test_other_penalties_are_solved_one_by_one(options: dict[str, Any]) -> None:
    fit = problem(50, 5, 1)
    for one, found in zip(grid(**options), fit_many(grid(**options), [fit], Context()), strict=True):
        np.testing.assert_array_equal(found.predict(fit.x), next(fit_many([one], [fit], Context())).predict(fit.x))


def test_no_time_is_told() -> None:
    with pytest.raises(BudgetError, match="no time left while fitting linear"):
        list(fit_many(grid(), [problem(50, 5, 1)], Context(deadline=time.monotonic() - 1)))
