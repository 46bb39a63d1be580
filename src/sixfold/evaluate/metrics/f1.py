"""Harmonic mean of precision and recall: of the last class when there are two, else the mean over classes."""

from __future__ import annotations

from typing import ClassVar

from sklearn.metrics import f1_score

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Harmonic mean of precision and recall: of the last class when there are two, else the mean over classes."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "label"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        binary = len(target.classes) == 2
        kind = {"average": "binary", "pos_label": 1} if binary else {"average": "macro"}
        return float(f1_score(target.values, predicted.argmax(axis=1), zero_division=0.0, **kind))
