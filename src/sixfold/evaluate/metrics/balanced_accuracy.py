"""Mean over the classes that occur of the share of their rows that is predicted (recall)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Mean over the classes that occur of the share of their rows that is predicted (recall)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "label"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        best = predicted.argmax(axis=1)
        present = np.unique(target.values)
        return float(np.mean([np.mean(best[target.values == label] == label) for label in present]))
