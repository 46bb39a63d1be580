"""Brier score (1950): mean squared distance of probabilities from the truth; two classes: of the last, more: summed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Brier score (1950): mean squared distance of probabilities from the truth; two classes: of the last, more: summed."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)
    needs: ClassVar[str] = "probability"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        truth = np.eye(len(target.classes))[target.values.astype(np.int64)]
        squares = (predicted - truth) ** 2
        return float(np.mean(squares[:, 1] if len(target.classes) == 2 else squares.sum(axis=1)))
