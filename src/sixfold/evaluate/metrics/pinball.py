"""Pinball loss of a quantile (Koenker and Bassett, 1978)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Pinball loss of a quantile (Koenker and Bassett, 1978)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    quantile: float = Field(0.5, gt=0, lt=1, description="Which quantile the predictions stand for.")

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = target.values.reshape(-1) - predicted.reshape(-1)
        return float(np.mean(np.maximum(self.quantile * error, (self.quantile - 1) * error)))
