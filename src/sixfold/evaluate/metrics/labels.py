"""Metrics of the class that is decided on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
from sklearn.metrics import (
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "BalancedAccuracy",
    "f1": "F1",
    "kappa": "CohenKappa",
    "mcc": "MatthewsCorrelation",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
}

TINY: Final = np.finfo(np.float64).tiny


def averaged(score: Callable[..., Any], target: Target, predicted: FloatArray) -> float:
    """One of scikit-learn's scores of labels: of two classes that of the last one (the positive one,
    `evaluate.positive`), of more their mean.
    """
    two = len(target.classes) == 2
    over: dict[str, Any] = {"average": "binary", "pos_label": 1} if two else {"average": "macro"}
    best = predicted.argmax(axis=1)
    return float(
        score(target.values, best, zero_division=0.0, sample_weight=target.weights, **over)
    )


class Accuracy(Metric):
    """Share of rows whose class is predicted."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return target.mean(predicted.argmax(axis=1) == target.values)

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = (predicted.argmax(axis=1) == target.values).astype(np.float64)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class BalancedAccuracy(Metric):
    """Mean over the classes that occur of the share of their rows that is predicted (recall)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        best = predicted.argmax(axis=1)
        parts = [np.flatnonzero(target.values == label) for label in np.unique(target.values)]
        return float(
            np.mean([target.take(own).mean(best[own] == target.values[own]) for own in parts])
        )


class F1(Metric):
    """Harmonic mean of precision and recall: of the last class when there are two, else the mean
    over classes.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return averaged(f1_score, target, predicted)


class Precision(Metric):
    """Share of the rows for which a class is predicted that are of it: of the positive class (the last)
    when there are two, else the mean over classes. 0 for a class that is never predicted.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return averaged(precision_score, target, predicted)


class Recall(Metric):
    """Share of the rows of a class for which it is predicted (sensitivity): of the positive class (the
    last) when there are two, else the mean over classes. 0 for a class without a row.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return averaged(recall_score, target, predicted)


class Specificity(Metric):
    """Share of the rows of other classes for which a class is not predicted: of the positive class (the
    last) when there are two, so the recall of the other one; else the mean over classes. 0 without such
    rows.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        best = predicted.argmax(axis=1)
        labels = [1] if len(target.classes) == 2 else np.union1d(target.values, best)
        counts = multilabel_confusion_matrix(
            target.values, best, labels=labels, sample_weight=target.weights
        )
        right, wrong = counts[:, 0, 0], counts[:, 0, 1]
        return float(np.mean(right / np.maximum(right + wrong, TINY)))


class CohenKappa(Metric):
    """Cohen's kappa (1960): by how much accuracy exceeds that of labels drawn with the same shares, as a
    part of what is possible. 0 where all rows are of one class.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        if (target.values == target.values[0]).all():  # chance alone would be right always
            return 0.0
        best = predicted.argmax(axis=1)
        return float(cohen_kappa_score(target.values, best, sample_weight=target.weights))


class MatthewsCorrelation(Metric):
    """Matthews correlation coefficient (Matthews, 1975; Gorodkin, 2004, for several classes). 0
    where truth or prediction is one class only.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        best = predicted.argmax(axis=1)
        if (target.values == target.values[0]).all():  # scikit-learn gives 0 with a warning
            return 0.0
        return float(matthews_corrcoef(target.values, best, sample_weight=target.weights))
