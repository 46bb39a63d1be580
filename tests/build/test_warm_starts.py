"""Logistic regression over penalties, each started from the one before, beside cold starts and the
conditions of optimality.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from fitting import fit_grid
from sixfold.build.linear import Settings
from sixfold.core.errors import BudgetError
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

GRID = (1.0, 0.01, 100.0, 1.0, 0.1)


def problem(classes: int, count: int = 300, features: int = 5, seed: int = 0) -> Fit:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, features))
    score = x @ np.linspace(1.0, 2.0, features) + generator.normal(size=count)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)
    return Fit(x, y, "classification", classes, seed=4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("penalty", "near"), [("l2", 1e-4), ("l1", 5e-3)])
@pytest.mark.parametrize("features", [5, 40])  # newton-cholesky and lbfgs
def test_every_penalty_is_what_a_cold_start_finds(
    classes: int, penalty: Any, near: float, features: int
) -> None:
    fits = [problem(classes, features=features), problem(classes, 200, features, 1)]
    grid = [Settings(penalty=penalty, C=c) for c in GRID]
    found: list[Any] = list(fit_grid(grid, fits, Context()))
    assert len(found) == 10
    for at, model in enumerate(found):
        fit, setting = fits[at // 5], grid[at % 5]
        alone: Any = next(setting.fit([fit], Context()))
        np.testing.assert_allclose(model.predict(fit.x), alone.predict(fit.x), rtol=0, atol=near)
    assert (
        np.abs(found[2].weights).sum() > 2 * np.abs(found[1].weights).sum()
    )  # C = 100 and C = 0.01, in their places


@given(st.integers(0, 99), st.integers(20, 200), st.integers(1, 25))
@settings(max_examples=20, deadline=None)
def test_the_gradient_vanishes_at_every_penalty(seed: int, count: int, features: int) -> None:
    fit = problem(2, count, features, seed)
    grid = [Settings(alpha=alpha) for alpha in (0.3, 30.0, 3.0)]
    models: list[Any] = list(fit_grid(grid, [fit], Context()))
    for setting, model in zip(grid, models, strict=True):
        error = model.predict(fit.x)[:, 1] - fit.y
        slope = fit.x.T @ error + setting.strength * model.weights[:, 0]
        assert np.abs(slope).max() <= 2e-5 * count
        assert abs(error.sum()) <= 2e-5 * count


def test_a_grid_of_one_is_scikit_learns_cold_fit() -> None:
    fit = problem(3)
    model: Any = next(fit_grid([Settings(C=0.5)], [fit], Context()))
    reference = LogisticRegression(C=0.5, tol=1e-6, solver="newton-cholesky").fit(fit.x, fit.y)
    np.testing.assert_allclose(model.predict(fit.x), reference.predict_proba(fit.x), atol=1e-12)


def test_sparse_rows_and_a_class_that_no_row_has() -> None:
    fit = problem(2)
    thin = Fit(
        csr_array(np.where(np.abs(fit.x) < 0.5, 0.0, fit.x)),
        2 * np.asarray(fit.y, dtype=np.int64),
        fit.task,
        3,
    )
    grid = [Settings(C=c) for c in (0.1, 10.0)]
    for setting, model in zip(grid, fit_grid(grid, [thin], Context()), strict=True):
        predicted = model.predict(fit.x)
        assert (predicted[:, 1] == 0.0).all()
        np.testing.assert_allclose(
            predicted, next(setting.fit([thin], Context())).predict(fit.x), atol=1e-4
        )


def test_what_does_not_converge_and_no_time_are_said() -> None:
    fit = problem(2, features=40)
    grid = [Settings(C=c, max_iter=1) for c in (1.0, 100.0)]
    notes: list[str] = []
    list(fit_grid(grid, [fit], Context(emit_to=lambda kind, facts: notes.append(facts["text"]))))
    assert notes == ["linear: not converged within max_iter=1; raise it, or the penalty"] * 2
    with pytest.raises(BudgetError, match="no time left while fitting linear"):
        list(fit_grid(grid, [fit], Context(deadline=time.monotonic() - 1)))
