"""Boosted trees on five folds: ours, from arrays to held-out accuracy, beside lightgbm.cv and
cross_val_score.

All three grow trees with the same settings on the same folds. The mean held-out log losses of ours
and lightgbm.cv, and the mean accuracies of ours and LGBMClassifier, have to be within 0.005 (bins
and draws of features differ). lightgbm.cv bins all rows once, the held-out ones too; ours bins each
fold's training rows. All use all cores.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_score

from bench.pairs import ROUNDS, Result, against, close
from sixfold.build.boosting import Settings
from sixfold.core.cores import cores
from sixfold.parts.fit import Fit
from sixfold.runs.context import Context

SAME = 0.005


def measure(
    rows: int = 100_000, features: int = 50, folds: int = 5, trees: int = 200, rounds: int = ROUNDS
) -> Iterator[Result]:
    """Seconds from arrays to the held-out score of every fold."""
    x, y = make_classification(rows, features, n_informative=features // 2, random_state=0)
    x = x.astype(np.float32)
    parts = list(StratifiedKFold(folds).split(x, y))
    settings = Settings(rounds=trees, patience=None)
    shared: dict[str, Any] = {
        "verbosity": -1,
        "deterministic": True,
        "force_col_wise": True,
        "learning_rate": 0.05,
    }
    parameters = {**shared, "objective": "binary", "feature_fraction": 0.5, "num_threads": cores()}

    def ours() -> tuple[float, float]:
        fits = [Fit(x[train], y[train].astype(np.int64), "classification", 2) for train, _ in parts]
        found = [
            model.predict(x[test])
            for model, (_, test) in zip(settings.fit(fits, Context()), parts, strict=True)
        ]
        losses = [log_loss(y[test], p) for p, (_, test) in zip(found, parts, strict=True)]
        right = [
            np.mean(p.argmax(axis=1) == y[test]) for p, (_, test) in zip(found, parts, strict=True)
        ]
        return float(np.mean(losses)), float(np.mean(right))

    def cv() -> float:
        table = lightgbm.cv(parameters, lightgbm.Dataset(x, y), trees, folds=parts)
        return float(table["valid binary_logloss-mean"][-1])

    def scored() -> float:
        model = lightgbm.LGBMClassifier(
            n_estimators=trees, colsample_bytree=0.5, n_jobs=cores(), **shared
        )
        with warnings.catch_warnings():  # on the names of columns, which arrays have not
            warnings.simplefilter("ignore", UserWarning)
            return float(cross_val_score(model, x, y, cv=parts).mean())

    title = f"{rows:,} × {features}, boosting, {folds} folds, {trees} rounds"
    yield against(
        Result(title, "lightgbm.cv", target=0.95),
        lambda: ours()[0],
        cv,
        close("mean log loss", SAME),
        rounds,
    )
    yield against(
        Result(title, "cross_val_score(LGBMClassifier)", target=1.2),
        lambda: ours()[1],
        scored,
        close("mean accuracy", SAME),
        rounds,
    )
