"""Kernel ridge regression beside scikit-learn's, one penalty or a grid of them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.kernel_ridge import KernelRidge

from fitting import fit_grid
from sixfold.build import _ridge
from sixfold.build.kernel_ridge import Settings
from sixfold.core.errors import BudgetError
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

PENALTIES = (
    1.0,
    0.01,
    30.0,
    1.0,
    0.3,
    3.0,
    100.0,
    0.1,
    10.0,
    0.03,
)  # more than seven share an eigendecomposition


def rows(count: int, features: int = 3, outputs: int = 1, seed: int = 0) -> Fit:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, features))
    y = (
        np.sin(x @ generator.normal(size=(features, outputs)))
        + 0.1 * generator.normal(size=(count, outputs))
        + 4.0
    )
    return Fit(x, y, "reconstruction", outputs, seed=3)


@given(
    st.sampled_from([("rbf", 0.0), ("poly", 1.0)]),
    st.integers(2, 60),
    st.integers(1, 70),
    st.integers(1, 3),
    st.integers(1, 10),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_every_penalty_is_scikit_learns(
    kernel: Any, count: int, features: int, outputs: int, penalties: int, seed: int
) -> None:
    fit = rows(count, features, outputs, seed)
    grid = [
        Settings(kernel=kernel[0], coef0=kernel[1], gamma=0.1, alpha=a)
        for a in PENALTIES[:penalties]
    ]
    models: list[Any] = list(fit_grid(grid, [fit], Context()))
    assert len(models) == penalties
    unseen = rows(20, features, outputs, seed + 1).x
    mean = fit.y.mean(axis=0)
    for setting, model in zip(grid, models, strict=True):
        peer = KernelRidge(kernel=kernel[0], coef0=kernel[1], gamma=0.1, alpha=setting.alpha).fit(
            fit.x, fit.y - mean
        )
        expected = peer.predict(unseen).reshape(20, outputs) + mean
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(model.predict(unseen), expected, rtol=0, atol=1e-7 * scale)
        np.testing.assert_allclose(
            next(setting.fit([fit], Context())).predict(unseen), expected, atol=1e-7 * scale
        )


def test_a_kernel_that_is_not_positive_is_its_positive_part() -> None:
    fit = rows(50)
    made = Settings(kernel="sigmoid", gamma=0.7, coef0=-1.0, alpha=0.5)
    model: Any = next(made.fit([fit], Context()))
    matrix = np.tanh(0.7 * fit.x @ fit.x.T - 1.0)
    values, vectors = np.linalg.eigh(matrix)
    assert values[0] < -0.1
    projected = vectors[:, values > 0] @ vectors[:, values > 0].T
    positive = projected @ matrix @ projected
    expected = positive @ np.linalg.solve(
        positive + 0.5 * np.eye(50), fit.y - fit.y.mean(axis=0)
    ) + fit.y.mean(axis=0)
    np.testing.assert_allclose(model.predict(fit.x), expected, atol=1e-8)


def test_several_fits_sparse_rows_and_a_sample() -> None:
    fit, few = rows(300), rows(40, seed=2)
    thin = Fit(csr_array(fit.x), fit.y, fit.task, 1, seed=3)
    grid = [Settings(alpha=alpha, sample=100) for alpha in (0.1, *PENALTIES)]
    notes: list[str] = []
    context = Context(emit_to=lambda kind, facts: notes.append(facts["text"]))
    models: list[Any] = list(fit_grid(grid, [thin, few], context))
    assert [model.support_count for model in models] == [100] * 11 + [40] * 11
    assert notes == ["kernel_ridge: learns from 100 of 300 rows, drawn at random"]
    for at, source in ((1, fit), (12, few)):
        alone = next(grid[1].fit([source], Context()))
        np.testing.assert_allclose(models[at].predict(fit.x), alone.predict(fit.x), atol=1e-8)


@pytest.mark.parametrize("gamma", ["scale", "auto"])
def test_rows_that_are_all_alike_give_the_mean(gamma: Any) -> None:
    fit = Fit(np.ones((12, 2)), np.arange(12.0), "regression", 1)
    grid = [Settings(gamma=gamma, alpha=alpha) for alpha in (1.0, 2.0)]
    for model in fit_grid(grid, [fit], Context()):
        np.testing.assert_allclose(model.predict(np.ones((1, 2))), 5.5, atol=1e-10)


def test_no_time_is_said() -> None:
    grid = [Settings(alpha=1.0), Settings(alpha=2.0)]
    with pytest.raises(BudgetError, match="no time left while fitting kernel_ridge"):
        list(fit_grid(grid, [rows(20)], Context(deadline=time.monotonic() - 1)))


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_alpha_auto_predicts_left_out_rows_best(kernel: Any, outputs: int) -> None:
    """Each row predicted by a refit without it, its mean included, at every penalty that is
    tried.
    """
    fit = rows(25, outputs=outputs)
    notes: list[str] = []
    context = Context(emit_to=lambda kind, facts: notes.append(facts["text"]))
    options: dict[str, Any] = {"kernel": kernel, "gamma": 0.3, "coef0": 1.0}
    model: Any = next(Settings(alpha="auto", **options).fit([fit], context))
    matrix = model.kernel.matrix(fit.x, fit.x)
    tried = _ridge.penalties_for(float(np.linalg.eigvalsh(matrix)[-1]))
    errors = []
    for alpha in tried:
        alone = Settings(alpha=float(alpha), **options)
        missed = []
        for row in range(25):
            rest = np.delete(np.arange(25), row)
            refit = next(alone.fit([Fit(fit.x[rest], fit.y[rest], fit.task, outputs)], Context()))
            missed.append(fit.y[row] - refit.predict(fit.x[[row]])[0])
        errors.append(np.mean(np.square(missed)))
    best = float(tried[int(np.argmin(errors))])
    assert notes == [
        f"kernel_ridge: alpha {best:.3g}, which predicts each training row best without it"
    ]
    expected = next(Settings(alpha=best, **options).fit([fit], Context()))
    np.testing.assert_allclose(model.predict(fit.x), expected.predict(fit.x), rtol=0, atol=1e-7)
