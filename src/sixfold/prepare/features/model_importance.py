"""Keep the features that a forest of randomized trees uses most (Geurts et al., 2006)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from sixfold.parts.table import FloatArray
from sixfold.prepare.choice import Amount, SelectedFeatures, strongest
from sixfold.prepare.step import Block, Role, Takes, Training
from sixfold.recipe.section import Section

SAMPLE = (
    10_000  # rows that are looked at, drawn at random: more change the ranking little (guessed)
)


class Settings(Section):
    """Keep the features that a forest of randomized trees uses most (Geurts et al., 2006)."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "select"

    keep: Amount = Field(0.5, description="How many features stay: a share below 1, or a count.")

    def fit(self, x: Block, training: Training) -> SelectedFeatures:
        """Rank on training rows."""
        rows = np.sort(np.random.default_rng(training.seed).permutation(len(x))[:SAMPLE])
        some, y = np.nan_to_num(x[rows]), training.y[rows]
        return strongest(self._scores(some, y, training), self.keep)

    def _scores(self, x: FloatArray, y: FloatArray, training: Training) -> FloatArray:
        options = {
            "n_estimators": 50,
            "random_state": training.seed,
            "min_samples_leaf": 5,
            "n_jobs": 1,
        }
        if training.task == "classification":
            return np.asarray(
                ExtraTreesClassifier(**options).fit(x, y.argmax(axis=1)).feature_importances_
            )
        return np.asarray(ExtraTreesRegressor(**options).fit(x, y.squeeze()).feature_importances_)
