"""Mean absolute percentage error as a share: |error| / max(|truth|, 2^-52)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Mean absolute percentage error as a share: |error| / max(|truth|, 2^-52)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = predicted.reshape(-1) - target.values.reshape(-1)
        return float(np.mean(np.abs(error) / np.maximum(np.abs(target.values.reshape(-1)), np.finfo(np.float64).eps)))
