"""Rows in much thinner surroundings than their neighbors (Breunig et al., 2000)."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.neighbors import LocalOutlierFactor

from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.clip import Clip
from sixfold.prepare.outliers import Action, complete, range_of
from sixfold.recipe.section import Section

GROUP_ROWS = 20_000  # the time grows with rows times rows of a group


class Settings(Section):
    """Rows in much thinner surroundings than their neighbors (Breunig et al., 2000)."""

    share: float = Field(
        0.01, gt=0, le=0.5, description="Share of the training rows that are outliers."
    )
    neighbors: int = Field(20, ge=1, description="Neighbors that are looked at.")
    action: Action = Field(
        "drop",
        description="drop: outliers leave the training rows; clip: numbers come back into range.",
    )

    def outliers(self, x: FloatArray, seed: int) -> BoolArray:
        """[rows] which rows are outliers. More than 20,000 rows are compared in random groups of at
        most so many.
        """
        z, thin = complete(x), np.zeros(len(x))
        groups = np.array_split(
            np.random.default_rng(seed).permutation(len(x)), -(-len(x) // GROUP_ROWS)
        )
        for rows in groups if len(x) > 1 else []:
            factor = LocalOutlierFactor(n_neighbors=min(self.neighbors, len(rows) - 1))
            factor.fit(z[np.sort(rows)])
            thin[np.sort(rows)] = -factor.negative_outlier_factor_
        return np.asarray(thin > np.quantile(thin, 1.0 - self.share))

    def bounds(self, x: FloatArray, seed: int) -> Clip:
        """The range of the rows that are no outliers."""
        return range_of(x, ~self.outliers(x, seed))
