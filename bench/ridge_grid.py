"""Ridge over folds and penalties: the grid in one piece beside scikit-learn's loop; `alpha: auto`
beside RidgeCV.

Squared errors of the folds, and the weights of the penalty that each row left out chooses from the
same ones, have to agree within 1e-8. Both start from the same arrays in double precision. The
floor: the matrix of products of columns (half of it: it is symmetric), one tridiagonal form a fold,
and the predictions at every penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_score

from bench import floor
from bench.pairs import ROUNDS, Result, against
from sixfold.build._ridge import penalties_for
from sixfold.build.linear import Settings
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

SAME = 1e-8


def measure(
    rows: int = 20_000,
    features: int = 200,
    folds: int = 10,
    penalties: int = 20,
    alone: int = 2000,
    rounds: int = ROUNDS,
) -> Iterator[Result]:
    """Folds × penalties, then `alone` rows each left out in turn."""
    strengths = np.logspace(-2, 4, penalties)
    x, y = make_regression(rows, features, noise=10.0, random_state=0)
    y /= y.std()
    yield _folds(x, y, folds, strengths, rounds)
    yield _left_out(x[:alone], y[:alone], rounds)


def within(what: str) -> Callable[[np.ndarray, np.ndarray], str]:
    """Asserts that two arrays agree."""

    def same(mine: np.ndarray, others: np.ndarray) -> str:
        difference = float(np.abs(mine - others).max())
        assert difference <= SAME, difference
        return f"{what} within {difference:.1g}"

    return same


def least_s(rows: int, features: int, folds: int, penalties: int) -> float:
    """See the top of this file."""
    operations = (
        rows * features**2 + folds * 4 / 3 * features**3 + 2.0 * rows * features * penalties
    )
    return floor.seconds(operations, 8.0 * rows * features, "f64")


def _folds(x: np.ndarray, y: np.ndarray, folds: int, strengths: np.ndarray, rounds: int) -> Result:
    """Seconds from arrays to the mean squared error of every fold at every penalty, [folds,
    penalties].
    """
    parts = list(KFold(folds).split(x))
    settings = [Settings(alpha=float(alpha)) for alpha in strengths]

    def ours() -> np.ndarray:
        errors = []
        for train, test in parts:
            models: list[Any] = list(
                settings[0].solve(settings, [Fit(x[train], y[train], "regression", 1)], Context())
            )
            weights = np.concatenate([model.weights for model in models], axis=1)
            predicted = x[test] @ weights + np.concatenate([model.bias for model in models])
            errors.append(np.mean((predicted - y[test, None]) ** 2, axis=0))
        return np.array(errors)

    def theirs() -> np.ndarray:
        scores = [
            cross_val_score(Ridge(alpha=alpha), x, y, cv=parts, scoring="neg_mean_squared_error")
            for alpha in strengths
        ]
        return -np.array(scores).T

    title = f"{len(x):,} × {x.shape[1]}, ridge, {folds} folds × {len(strengths)} penalties"
    least = least_s(len(x), x.shape[1], folds, len(strengths))
    form = Result(title, "cross_val_score(Ridge) a penalty", target=50, floor=least)
    return against(form, ours, theirs, within("errors"), rounds)


def _left_out(x: np.ndarray, y: np.ndarray, rounds: int) -> Result:
    """Seconds from arrays to the weights of the penalty that predicts each row best without it,
    [features].
    """
    fit = Fit(x, y, "regression", 1)
    tried = penalties_for(float(np.linalg.eigvalsh(np.cov(x.T, bias=True) * len(x))[-1]))

    def ours() -> np.ndarray:
        model: Any = next(Settings(alpha="auto").fit([fit], Context()))
        return np.asarray(model.weights[:, 0])

    def theirs() -> np.ndarray:
        return np.asarray(RidgeCV(alphas=tried).fit(x, y).coef_)

    title = f"{len(x):,} × {x.shape[1]}, ridge, leave one out × {len(tried)} penalties"
    form = Result(title, "RidgeCV", target=5, floor=least_s(len(x), x.shape[1], 1, len(tried)))
    return against(form, ours, theirs, within("weights"), rounds)
