"""Metrics of the order in which scores put the rows, or the classes of a row."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "average_precision": "AveragePrecision",
    "roc_auc": "RocAuc",
    "top_3_accuracy": "Top3Accuracy",
    "top_5_accuracy": "Top5Accuracy",
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
            roc_auc_score(target.values == label, predicted[:, label], sample_weight=target.weights)
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
            average_precision_score(
                target.values == label, predicted[:, label], sample_weight=target.weights
            )
            for label in labels
            if np.any(target.values == label)
        ]
        return float(np.mean(areas)) if areas else float("nan")


class TopAccuracy(Metric):
    """What the metrics of the `k` largest scores share."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "score"
    k: ClassVar[int]

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return target.mean(self.rows(target, predicted))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        label = target.values.astype(np.int64)[:, None]
        own = np.take_along_axis(predicted, label, axis=1)
        first = (predicted == own) & (np.arange(predicted.shape[1]) < label)
        before = ((predicted > own) | first).sum(axis=1)
        each: FloatArray = (before < self.k).astype(np.float64)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class Top3Accuracy(TopAccuracy):
    """Share of rows whose class is among the three with the largest scores; of equal scores the first
    class counts as larger, as where labels are decided.
    """

    k: ClassVar[int] = 3


class Top5Accuracy(TopAccuracy):
    """Share of rows whose class is among the five with the largest scores; of equal scores the first
    class counts as larger, as where labels are decided.
    """

    k: ClassVar[int] = 5
