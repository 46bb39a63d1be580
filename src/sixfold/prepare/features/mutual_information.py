"""Keep the features that tell most about the target: mutual information by nearest neighbors
(Kraskov, 2004; Ross, 2014).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from sixfold.parts.table import FloatArray
from sixfold.prepare.choice import Amount, SelectedFeatures, strongest
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section

SAMPLE = (
    10_000  # rows that are looked at, drawn at random: more change the ranking little (guessed)
)


class Settings(Section):
    """Keep the features that tell most about the target: mutual information by nearest neighbors
    (Kraskov, 2004; Ross, 2014).
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "select"

    keep: Amount = Field(0.5, description="How many features stay: a share below 1, or a count.")

    def fit(self, x: Block, training: Training) -> SelectedFeatures:
        """Rank on training rows."""
        rows = np.sort(np.random.default_rng(training.seed).permutation(len(x))[:SAMPLE])
        some, y = np.nan_to_num(x[rows]), training.y[rows]
        return strongest(self._scores(some, y, training), self.keep)

    def _scores(self, x: FloatArray, y: FloatArray, training: Training) -> FloatArray:
        if training.task == "classification":
            return np.asarray(
                mutual_info_classif(x, y.argmax(axis=1), random_state=training.seed, n_jobs=1)
            )
        return np.asarray(
            mutual_info_regression(x, y.mean(axis=1), random_state=training.seed, n_jobs=1)
        )
