"""Numbers far outside the middle half of their column (Tukey, 1977)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.clip import Clip
from sixfold.prepare.outliers import Action
from sixfold.recipe.section import Section


class Settings(Section):
    """Numbers outside [Q1 - factor · IQR, Q3 + factor · IQR] of their column (Tukey's fences)."""

    factor: float = Field(
        3.0, gt=0, description="How many interquartile ranges outside the quartiles."
    )
    action: Action = Field(
        "drop", description="drop: such rows leave the training rows; clip: to the fences."
    )

    def outliers(self, x: FloatArray, seed: int) -> BoolArray:
        """[rows] rows with a number outside its column's fences."""
        fences = self.bounds(x, seed)
        return np.asarray(((x < fences.low) | (x > fences.high)).any(axis=1))

    def bounds(self, x: FloatArray, seed: int) -> Clip:
        """The fences; a column whose middle half is one value has none."""
        low, high = np.nanpercentile(x, [25.0, 75.0], axis=0)
        reach = np.where(high > low, self.factor * (high - low), np.inf)
        return Clip(low - reach, high + reach)
