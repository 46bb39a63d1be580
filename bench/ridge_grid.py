"""Ridge over folds and penalties: the grid in one piece beside scikit-learn's loop; one matrix beside RidgeCV.

Quality is asserted equal: squared errors of the folds, and held-out predictions, within 1e-8. Both start from the same
arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_score

from bench.pairs import ROUNDS, Result, interleaved
from sixfold.build._ridge import held_out
from sixfold.build.linear import Settings
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

SAME = 1e-8


def measure(
    rows: int = 20_000, features: int = 200, folds: int = 10, penalties: int = 20, alone: int = 2000,
    rounds: int = ROUNDS,
) -> list[Result]:  # fmt: skip
    """Folds × penalties, then `alone` rows each left out in turn."""
    strengths = np.logspace(-2, 4, penalties)
    x, y = make_regression(rows, features, noise=10.0, random_state=0)
    y /= y.std()
    return [_folds(x, y, folds, strengths, rounds), _left_out(x[:alone], y[:alone], strengths, rounds)]


def _folds(x: np.ndarray, y: np.ndarray, folds: int, strengths: np.ndarray, rounds: int) -> Result:
    """Seconds from arrays to the mean squared error of every fold at every penalty, [folds, penalties]."""
    parts = list(KFold(folds).split(x))
    settings = [Settings(alpha=float(alpha)) for alpha in strengths]

    def ours() -> np.ndarray:
        errors = []
        for train, test in parts:
            models: list[Any] = list(
                settings[0].solve_all(settings, [Fit(x[train], y[train], "regression", 1)], Context())
            )
            weights = np.concatenate([model.weights for model in models], axis=1)
            predicted = x[test] @ weights + np.concatenate([model.bias for model in models])
            errors.append(np.mean((predicted - y[test, None]) ** 2, axis=0))
        return np.array(errors)

    def theirs() -> np.ndarray:
        scores = [
            cross_val_score(Ridge(alpha=alpha), x, y, cv=parts, scoring="neg_mean_squared_error") for alpha in strengths
        ]
        return -np.array(scores).T

    difference = float(np.abs(ours() - theirs()).max())
    assert difference <= SAME, difference
    mine, others = interleaved(ours, theirs, rounds)
    title = f"{len(x):,} × {x.shape[1]}, ridge, {folds} folds × {len(strengths)} penalties"
    return Result(title, "cross_val_score(Ridge) a penalty", mine, others, "s", f"errors within {difference:.1g}")


def _left_out(x: np.ndarray, y: np.ndarray, strengths: np.ndarray, rounds: int) -> Result:
    """Seconds from arrays to the prediction of every row without itself at every penalty, [penalties, rows]."""
    every = [np.array([row]) for row in range(len(x))]

    def ours() -> np.ndarray:
        return held_out(x, y[:, None], every, strengths)[:, :, 0]

    def theirs() -> np.ndarray:
        search = RidgeCV(alphas=strengths, store_cv_results=True, scoring="neg_mean_squared_error").fit(x, y)
        return np.asarray(search.cv_results_).T

    difference = float(np.abs(ours() - theirs()).max())
    assert difference <= SAME, difference
    mine, others = interleaved(ours, theirs, rounds)
    title = f"{len(x):,} × {x.shape[1]}, ridge, leave one out × {len(strengths)} penalties"
    return Result(title, "RidgeCV", mine, others, "s", f"predictions within {difference:.1g}")
