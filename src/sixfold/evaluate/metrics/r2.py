"""Coefficient of determination, 1 - SS_res / SS_tot."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Coefficient of determination, 1 - SS_res / SS_tot; over several outputs the mean of those that are not constant. NaN where
    all are, as in a single row.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        truth = target.values.reshape(len(predicted), -1)
        varies = (truth != truth[:1]).any(axis=0)
        if not varies.any():
            return float("nan")
        total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)[varies]
        left = ((predicted - truth) ** 2).sum(axis=0)[varies]
        return float(np.mean(1 - left / total))
