"""Rows in much thinner surroundings than their neighbours (Breunig et al., 2000)."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.neighbors import LocalOutlierFactor

from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.clip import Clip
from sixfold.prepare.outliers import Action, complete, range_of
from sixfold.recipe.section import Section


class Settings(Section):
    """Rows in much thinner surroundings than their neighbours (Breunig et al., 2000)."""

    share: float = Field(0.01, gt=0, le=0.5, description="Share of the training rows that are outliers.")
    neighbours: int = Field(20, ge=1, description="Neighbours that are looked at.")
    action: Action = Field(
        "drop", description="drop: outliers leave the training rows; clip: numbers come back into range."
    )

    def outliers(self, x: FloatArray, seed: int) -> BoolArray:
        """[rows] which rows are outliers."""
        neighbours = min(self.neighbours, len(x) - 1)
        factor = LocalOutlierFactor(n_neighbors=neighbours, contamination=self.share)
        return np.asarray(factor.fit_predict(complete(x)) < 0)

    def bounds(self, x: FloatArray, seed: int) -> Clip:
        """The range of the rows that are no outliers."""
        return range_of(x, ~self.outliers(x, seed))
