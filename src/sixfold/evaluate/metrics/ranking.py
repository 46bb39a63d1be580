"""Metrics of the order in which scores put the rows."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "average_precision": "AveragePrecision",
    "roc_auc": "RocAuc",
}


class RocAuc(Metric):
    """Area under the ROC curve: of the last class when there are two, else the mean of one against
    the rest.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "score"
    measures_ranking: ClassVar[bool] = True

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        binary = len(target.classes) == 2
        labels = (
            [1] if binary else [c for c in np.unique(target.values) if (target.values != c).any()]
        )
        areas = [
            roc_auc_score(target.values == label, predicted[:, label])
            for label in labels
            if 0 < np.sum(target.values == label) < len(predicted)
        ]
        return float(np.mean(areas)) if areas else float("nan")


class AveragePrecision(Metric):
    """Area under the precision-recall curve: of the last class when there are two, else the
    mean.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
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
