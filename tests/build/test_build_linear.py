"""The linear family against scikit-learn and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LogisticRegression

from sixfold.build.linear import LinearModel, Settings
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context


def solve(settings: Settings, *fits: Fit, context: Context | None = None) -> list[Any]:
    return list(settings.fit(fits, context or Context()))


def rows(count: int = 120, features: int = 6, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, features))
    return x, x @ np.arange(1.0, features + 1) + generator.normal(size=count) + 5.0


@pytest.mark.parametrize("alpha", [0.1, 1.0, 30.0])
def test_leave_one_out_of_ridge_is_the_hat_matrix_formula(alpha: float) -> None:
    x, y = rows(40)
    centered = x - x.mean(axis=0)
    hat = 1 / 40 + centered @ np.linalg.solve(centered.T @ centered + alpha * np.eye(6), centered.T)
    formula = (y - hat @ y) / (1 - np.diag(hat))
    fits = [Fit(np.delete(x, i, axis=0), np.delete(y, i), "regression", 1) for i in range(40)]
    models = solve(Settings(alpha=alpha), *fits)
    left_out = [y[i] - model.predict(x[i : i + 1])[0, 0] for i, model in enumerate(models)]
    np.testing.assert_allclose(left_out, formula, rtol=0, atol=1e-8)


def test_least_squares_is_exact_and_takes_several_outputs() -> None:
    x, _ = rows()
    y = x @ np.arange(12.0).reshape(6, 2) + 1.0
    model = solve(Settings(penalty="none"), Fit(x, y, "reconstruction", 2))[0]
    np.testing.assert_allclose(model.predict(x), y, atol=1e-10)
    assert model.output == "value"


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_scikit_learns(classes: int) -> None:
    x, score = rows(400)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)
    model = solve(Settings(C=0.5), Fit(x, y, "classification", classes))[0]
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(model.predict(x), reference.predict_proba(x), atol=1e-4)
    assert model.link == ("sigmoid" if classes == 2 else "softmax")


def test_strength_is_for_sums_so_that_lasso_is_scikit_learns_times_rows() -> None:
    x, y = rows()
    model = solve(Settings(penalty="l1", alpha=60.0), Fit(x, y, "regression", 1))[0]
    reference = Lasso(alpha=60.0 / 120, tol=1e-8).fit(x, y)
    np.testing.assert_allclose(model.weights[:, 0], reference.coef_, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_lasso_penalty_makes_weights_zero_for_classes(classes: int) -> None:
    x, score = rows(300)
    noise = np.random.default_rng(1).normal(size=(300, 10))
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)
    model = solve(
        Settings(penalty="l1", C=0.05), Fit(np.hstack([x, noise]), y, "classification", classes)
    )[0]
    assert (model.weights[6:] == 0).mean() >= 0.8
    assert model.importances()[:6].sum() > model.importances()[6:].sum()


def test_lasso_of_several_outputs() -> None:
    x, y = rows()
    model = solve(Settings(penalty="l1"), Fit(x, np.stack([y, -y], axis=1), "reconstruction", 2))[0]
    np.testing.assert_allclose(model.predict(x).sum(axis=1), 0.0, atol=1e-2)


def test_a_fit_that_does_not_converge_is_said() -> None:
    x, score = rows()
    events: list[tuple[str, dict[str, Any]]] = []
    context = Context(emit_to=lambda kind, facts: events.append((kind, facts)))
    solve(
        Settings(penalty="none", max_iter=1),
        Fit(x, (score > 5).astype(np.int64), "classification", 2),
        context=context,
    )
    text = "linear: not converged within max_iter=1; raise it, or the penalty"
    assert events == [("warning", {"text": text})]


def test_strength() -> None:
    assert (Settings().strength, Settings(alpha=3.0).strength, Settings(C=4.0).strength) == (
        1.0,
        3.0,
        0.25,
    )


def test_absent_class_has_probability_zero() -> None:
    x, score = rows()
    y = np.where(score > 5, 3, 1).astype(np.int64)
    model: LinearModel = solve(Settings(), Fit(x, y, "classification", 4))[0]
    assert (model.predict(x)[:, [0, 2]] == 0.0).all()
