"""Rows that random splits isolate quickly (Liu, Ting and Zhou, 2008)."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.ensemble import IsolationForest

from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.clip import Clip
from sixfold.prepare.outliers import Action, complete, range_of
from sixfold.recipe.section import Section


class Settings(Section):
    """Rows that random splits isolate quickly (Liu, Ting and Zhou, 2008)."""

    share: float = Field(
        0.01, gt=0, le=0.5, description="Share of the training rows that are outliers."
    )
    trees: int = Field(100, ge=1, le=2000, description="Trees of the forest.")
    action: Action = Field(
        "drop",
        description="drop: outliers leave the training rows; clip: numbers come back into range.",
    )

    def outliers(self, x: FloatArray, seed: int) -> BoolArray:
        """[rows] which rows are outliers."""
        forest = IsolationForest(
            n_estimators=self.trees, contamination=self.share, random_state=seed, n_jobs=1
        )
        return np.asarray(forest.fit_predict(complete(x)) < 0)

    def bounds(self, x: FloatArray, seed: int) -> Clip:
        """The range of the rows that are no outliers."""
        return range_of(x, ~self.outliers(x, seed))
