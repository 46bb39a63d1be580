"""Metrics of probabilities."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from pydantic import Field

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "brier": "BrierScore",
    "calibration_error": "CalibrationError",
    "log_loss": "LogLoss",
}


class LogLoss(Metric):
    """Mean of -log of the probability given to the true class (clipped at 1e-15)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "probability"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return target.mean(self.rows(target, predicted))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = -np.log(
            np.clip(
                predicted[np.arange(len(predicted)), target.values.astype(np.int64)], 1e-15, 1.0
            )
        )
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class BrierScore(Metric):
    """Brier score (1950): mean squared distance of probabilities from the truth; two classes: of
    the last, more: summed.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 2.0)
    needs: ClassVar[str] = "probability"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        truth = np.eye(len(target.classes))[target.values.astype(np.int64)]
        squares = (predicted - truth) ** 2
        return target.mean(squares[:, 1] if len(target.classes) == 2 else squares.sum(axis=1))


class CalibrationError(Metric):
    """Expected calibration error: |confidence - accuracy| over equal bins of confidence (Guo et
    al., 2017).
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification"})
    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    needs: ClassVar[str] = "probability"
    bins: int = Field(15, ge=1, description="Bins of confidence.")

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        confidence = predicted.max(axis=1)
        correct = predicted.argmax(axis=1) == target.values
        bin_of = np.minimum((confidence * self.bins).astype(np.int64), self.bins - 1)
        excess, total = confidence - correct, float(len(predicted))
        if target.weights is not None:
            excess, total = excess * target.weights, float(target.weights.sum())
        gap = np.bincount(bin_of, weights=excess, minlength=self.bins)
        return float(np.abs(gap).sum() / total)
