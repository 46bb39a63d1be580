"""Area under the precision-recall curve: of the last class when there are two, else the mean."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.metrics import average_precision_score

from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.section import Section


class Settings(Section):
    """Area under the precision-recall curve: of the last class when there are two, else the mean."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs: ClassVar[str] = "score"
    measures_ranking: ClassVar[bool] = True

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        labels = [1] if len(target.classes) == 2 else list(range(len(target.classes)))
        areas = [
            average_precision_score(target.values == label, predicted[:, label])
            for label in labels
            if np.any(target.values == label)
        ]
        return float(np.mean(areas)) if areas else float("nan")
