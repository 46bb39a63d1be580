"""Pinball loss of the median (Koenker and Bassett, 1978)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section

QUANTILE = 0.5  # predictions stand for the middle of the target; another quantile needs a family that predicts it


class Settings(Section):
    """Pinball loss max(q·e, (q − 1)·e) of the quantile q = ½, which every family predicts: half of the mean absolute error.
    Koenker and Bassett, Regression Quantiles, 1978.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = target.values.reshape(-1) - predicted.reshape(-1)
        return float(np.mean(np.maximum(QUANTILE * error, (QUANTILE - 1) * error)))
