"""A grid of ridges from one factorization, and the penalty that left-out rows choose, beside
scikit-learn's refits.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge, RidgeCV

from fitting import fit_grid
from sixfold.build import _ridge
from sixfold.build.linear import Settings
from sixfold.core.errors import BudgetError, RecipeError
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

PENALTIES = (10.0, 0.01, 1.0, 300.0, 1.0)


def rows(
    count: int, features: int, outputs: int, seed: int = 0, constant: int = 0
) -> tuple[Any, Any]:
    """Columns of unlike means and scales, the first `constant` of them constant."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, features)) * generator.uniform(
        0.5, 3.0, features
    ) + generator.normal(size=features)
    y = (
        x @ generator.normal(size=(features, outputs))
        + generator.normal(size=(count, outputs))
        + 7.0
    )
    x[:, :constant] = 2.5
    return x, y


def reference(x: Any, y: Any, alpha: float) -> Ridge:
    return Ridge(alpha=alpha, solver="svd").fit(x, y)


@given(
    st.integers(2, 60),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(1, 5),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_every_penalty_is_scikit_learns(
    count: int, features: int, outputs: int, constant: int, penalties: int, seed: int
) -> None:
    x, y = rows(count, features, outputs, seed, constant)
    grid = [Settings(alpha=alpha) for alpha in PENALTIES[:penalties]]
    fit = Fit(x, y, "reconstruction", outputs)
    models: list[Any] = list(fit_grid(grid, [fit], Context()))
    assert len(models) == penalties
    for setting, model in zip(grid, models, strict=True):
        expected = reference(x, y, setting.strength)
        np.testing.assert_allclose(
            model.weights, np.reshape(expected.coef_, (outputs, features)).T, rtol=0, atol=1e-8
        )
        np.testing.assert_allclose(model.bias, expected.intercept_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(
            model.predict(x), next(setting.fit([fit], Context())).predict(x), rtol=0, atol=1e-8
        )


def test_alpha_and_c_are_one_grid_over_several_fits() -> None:
    fits = [Fit(x, y[:, 0], "regression", 1) for x, y in (rows(50, 4, 1), rows(30, 45, 1, 1))]
    grid = [Settings(C=0.5), Settings(alpha=2.0), Settings(), Settings(alpha=1.0)]
    models: list[Any] = list(fit_grid(grid, fits, Context()))
    assert len(models) == 8
    for at, fit in enumerate(fits):
        first, second, third, fourth = (model.weights for model in models[4 * at : 4 * at + 4])
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(third, fourth)
        np.testing.assert_allclose(
            first[:, 0], reference(fit.x, fit.y, 2.0).coef_, rtol=0, atol=1e-8
        )
    assert not np.allclose(models[0].weights, models[2].weights, atol=1e-3)


@pytest.mark.parametrize("scale", [1e6, 1e9])
def test_columns_of_very_unlike_scales_keep_their_weights(scale: float) -> None:
    x, y = rows(80, 3, 1)
    x[:, 0] *= scale
    grid = [Settings(alpha=alpha) for alpha in (1e-3, 1.0, 100.0)]
    for setting, model in zip(
        grid, fit_grid(grid, [Fit(x, y, "regression", 1)], Context()), strict=True
    ):
        scaled = np.hstack(
            [x[:, :1] / scale, x[:, 1:]]
        )  # the same problem with its penalty a weight
        centered, strength = scaled - scaled.mean(axis=0), setting.strength
        penalty = np.diag([strength / scale**2, strength, strength])
        expected = np.linalg.solve(centered.T @ centered + penalty, centered.T @ (y - y.mean()))
        found: Any = model
        np.testing.assert_allclose(found.weights * [[scale], [1.0], [1.0]], expected, rtol=1e-6)


def test_sparse_rows_are_the_same_problem() -> None:
    x, y = rows(60, 5, 1)
    x[np.abs(x) < 1.0] = 0.0
    grid = [Settings(alpha=alpha) for alpha in (0.5, 20.0)]
    thin = fit_grid(grid, [Fit(csr_array(x), y[:, 0], "regression", 1)], Context())
    full = fit_grid(grid, [Fit(x, y[:, 0], "regression", 1)], Context())
    for one, other in zip(thin, full, strict=True):
        np.testing.assert_allclose(one.predict(x), other.predict(x), atol=1e-8)


def test_no_time_is_said() -> None:
    x, y = rows(20, 3, 1)
    grid = [Settings(alpha=1.0), Settings(alpha=2.0)]
    with pytest.raises(BudgetError, match="no time left while fitting linear"):
        list(fit_grid(grid, [Fit(x, y, "regression", 1)], Context(deadline=time.monotonic() - 1)))


@given(
    st.integers(2, 60), st.integers(1, 40), st.integers(1, 2), st.integers(0, 2), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_errors_of_left_out_rows_are_those_of_refits(
    count: int, features: int, outputs: int, constant: int, seed: int
) -> None:
    """At the weakest penalty that is tried, too, where 1 - h is least."""
    x, y = rows(count, features, outputs, seed, constant)
    ridge = _ridge.factorized(x, y)
    tried = _ridge.penalties_for(float(ridge.values[-1]))
    penalties = tried[[0, len(tried) // 2, -1]]
    for alpha, found in zip(penalties, _ridge.left_out(ridge, x, y, penalties), strict=True):
        errors = []
        for row in range(count):
            rest = np.setdiff1d(np.arange(count), [row])
            errors.append(
                y[row] - reference(x[rest], y[rest], alpha).predict(x[[row]]).reshape(outputs)
            )
        np.testing.assert_allclose(found, np.mean(np.square(errors)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(80, 6), (20, 30)])
@pytest.mark.parametrize("thin", [False, True])
def test_alpha_auto_is_the_choice_of_ridge_cv(shape: tuple[int, int], thin: bool) -> None:
    x, y = rows(*shape, 1, seed=4)
    notes: list[str] = []
    context = Context(emit_to=lambda kind, facts: notes.append(facts["text"]))
    fit = Fit(csr_array(x) if thin else x, y[:, 0], "regression", 1)
    automatic, given_one = Settings(alpha="auto"), Settings(alpha=3.0)
    models: list[Any] = list(fit_grid([automatic, given_one], [fit], context))
    tried = _ridge.penalties_for(float(_ridge.factorized(x, y).values[-1]))
    theirs = RidgeCV(alphas=tried).fit(x, y[:, 0])
    assert notes == [
        f"linear: alpha {theirs.alpha_:.3g}, which predicts each training row best without it"
    ]
    np.testing.assert_allclose(models[0].weights[:, 0], theirs.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        models[1].weights[:, 0], reference(x, y[:, 0], 3.0).coef_, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize(("count", "constant"), [(1, 0), (5, 2)])
def test_where_nothing_can_be_learned_alpha_auto_is_one(count: int, constant: int) -> None:
    x, y = rows(count, 2, 1, constant=constant)
    model: Any = next(Settings(alpha="auto").fit([Fit(x, y[:, 0], "regression", 1)], Context()))
    np.testing.assert_array_equal(model.weights, 0.0)
    assert model.bias == pytest.approx(y.mean())


def test_alpha_auto_is_for_values() -> None:
    x, y = rows(20, 2, 1)
    fit = Fit(x, (y[:, 0] > 7).astype(np.int64), "classification", 2)
    with pytest.raises(
        RecipeError,
        match=r"a number, where classes are predicted[\s\S]*'auto', which is for values",
    ):
        list(Settings(alpha="auto").fit([fit], Context()))
    with pytest.raises(
        ValueError, match="alpha auto is found for ridge: choose penalty l2, or give alpha a number"
    ):
        Settings(alpha="auto", penalty="l1")
