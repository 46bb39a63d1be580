"""Matthews correlation coefficient (Matthews, 1975; Gorodkin, 2004, for several classes)."""

from __future__ import annotations

from typing import ClassVar

from sklearn.metrics import matthews_corrcoef

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Matthews correlation coefficient (Matthews, 1975; Gorodkin, 2004, for several classes)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return float(matthews_corrcoef(target.values, predicted.argmax(axis=1)))
