"""Expected calibration error: |confidence - accuracy| over equal bins of confidence (Guo et al., 2017)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Expected calibration error: |confidence - accuracy| over equal bins of confidence (Guo et al., 2017)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "probability"
    measures_ranking: ClassVar[bool] = False
    bins: int = Field(15, ge=1, description="Bins of confidence.")

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        confidence = predicted.max(axis=1)
        correct = predicted.argmax(axis=1) == target.values
        bin_of = np.minimum((confidence * self.bins).astype(np.int64), self.bins - 1)
        gap = np.bincount(bin_of, weights=confidence - correct, minlength=self.bins)
        return float(np.abs(gap).sum() / len(predicted))
