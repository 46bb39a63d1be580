"""Share of rows whose class is predicted."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Share of rows whose class is predicted."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return float(np.mean(predicted.argmax(axis=1) == target.values))
