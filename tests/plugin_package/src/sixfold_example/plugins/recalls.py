"""Two metrics in one file; the entry points name their classes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task


def _recalls(target: Target, predicted: FloatArray) -> list[float]:
    best = predicted.argmax(axis=1)
    return [
        float(np.mean(best[target.values == label] == label)) for label in np.unique(target.values)
    ]


class WorstRecall(Metric):
    """Share of the rows of a class that are predicted, of the class where it is least."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return min(_recalls(target, predicted))


class BestRecall(Metric):
    """Share of the rows of a class that are predicted, of the class where it is greatest."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return max(_recalls(target, predicted))
