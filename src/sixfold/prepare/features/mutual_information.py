"""Keep the features that tell most about the target: mutual information by nearest neighbors
(Kraskov, 2004; Ross, 2014).
"""

from __future__ import annotations

import numpy as np
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from sixfold.parts.table import FloatArray
from sixfold.prepare.choice import FeatureRanking
from sixfold.prepare.step import Training


class Settings(FeatureRanking):
    """Keep the features that tell most about the target: mutual information by nearest neighbors
    (Kraskov, 2004; Ross, 2014).
    """

    def scores(self, x: FloatArray, y: FloatArray, training: Training) -> FloatArray:
        """In nats."""
        if training.task == "classification":
            return np.asarray(
                mutual_info_classif(x, y.argmax(axis=1), random_state=training.seed, n_jobs=1)
            )
        return np.asarray(
            mutual_info_regression(x, y.mean(axis=1), random_state=training.seed, n_jobs=1)
        )
