"""Mean of -log of the probability given to the true class (clipped at 1e-15)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Mean of -log of the probability given to the true class (clipped at 1e-15)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "probability"
    measures_ranking: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        own = predicted[np.arange(len(predicted)), target.values.astype(np.int64)]
        return float(np.mean(-np.log(np.clip(own, 1e-15, 1.0))))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = -np.log(
            np.clip(predicted[np.arange(len(predicted)), target.values.astype(np.int64)], 1e-15, 1.0)
        )
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean
