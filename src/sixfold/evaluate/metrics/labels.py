"""Metrics of the class that is decided on."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from sklearn.metrics import f1_score, matthews_corrcoef

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "BalancedAccuracy",
    "f1": "F1",
    "mcc": "MatthewsCorrelation",
}


class Accuracy(Metric):
    """Share of rows whose class is predicted."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "label"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return float(np.mean(predicted.argmax(axis=1) == target.values))

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
        present = np.unique(target.values)
        return float(np.mean([np.mean(best[target.values == label] == label) for label in present]))


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
        binary = len(target.classes) == 2
        kind = {"average": "binary", "pos_label": 1} if binary else {"average": "macro"}
        return float(f1_score(target.values, predicted.argmax(axis=1), zero_division=0.0, **kind))


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
        return float(matthews_corrcoef(target.values, best))
