"""Keep the features that a forest of randomized trees uses most (Geurts et al., 2006)."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from sixfold.parts.table import FloatArray
from sixfold.prepare.choice import FeatureRanking
from sixfold.prepare.step import Training


class Settings(FeatureRanking):
    """Keep the features that a forest of randomized trees uses most (Geurts et al., 2006)."""

    def scores(self, x: FloatArray, y: FloatArray, training: Training) -> FloatArray:
        """How much impurity its splits take away, as a share."""
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
