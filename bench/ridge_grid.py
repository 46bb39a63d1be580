"""Ridge, 10 folds × 20 penalties: one product a fold for all penalties, beside scikit-learn's loop of fits.

Quality is asserted equal: R² of every fold and penalty agrees to 1e-8.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score

from bench.pairs import ROUNDS, Result, interleaved
from sixfold.parts.fit import Fit
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate
from sixfold.train.fitting import fit_many


def measure(rows: int = 20_000, features: int = 200, folds: int = 10, rounds: int = ROUNDS) -> list[Result]:
    """From the table in memory to the R² of every fold and penalty."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, features))
    y = x @ generator.normal(size=features) + 3.0 * generator.normal(size=rows)
    penalties = np.logspace(-2, 4, 20)
    parts = list(KFold(folds, shuffle=True, random_state=0).split(x))

    def ours() -> np.ndarray:
        made = [FAMILY.load("linear")(alpha=float(alpha)) for alpha in penalties]
        grid = [Candidate(str(at), "linear", one, Prepare(), Initialize(), Train()) for at, one in enumerate(made)]
        scores = np.empty((len(penalties), folds))
        for number, (train, validation) in enumerate(parts):
            fitted = list(fit_many(grid, [Fit(x[train], y[train], "regression", 1)], Context()))
            weights = np.concatenate([one.weights for one in fitted], axis=1)  # type: ignore[attr-defined]
            bias = np.concatenate([one.bias for one in fitted])  # type: ignore[attr-defined]
            error = x[validation] @ weights + bias - y[validation, None]
            scores[:, number] = 1.0 - (error**2).sum(axis=0) / ((y[validation] - y[validation].mean()) ** 2).sum()
        return scores

    def theirs() -> np.ndarray:
        return np.array([cross_val_score(Ridge(alpha=alpha), x, y, cv=parts, scoring="r2") for alpha in penalties])

    np.testing.assert_allclose(ours(), theirs(), rtol=0, atol=1e-8)
    mine, others = interleaved(ours, theirs, rounds)
    name = f"ridge, {folds} folds × {len(penalties)} penalties, {rows:,} × {features}"
    return [Result(name, "scikit-learn cross_val_score loop", mine, others, "s", "R² equal to 1e-8")]
