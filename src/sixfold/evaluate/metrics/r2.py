"""Coefficient of determination, 1 - SS_res / SS_tot; over several outputs their mean. NaN for a constant target."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Coefficient of determination, 1 - SS_res / SS_tot; over several outputs their mean. NaN for a constant target."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        truth = target.values.reshape(len(predicted), -1)
        total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
        if not (total > 0).all():
            return float("nan")
        return float(np.mean(1 - ((predicted - truth) ** 2).sum(axis=0) / total))
