"""Metrics of values: of a regression, and of a reconstruction."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task

PLUGINS: Final = {
    "interval_coverage": "IntervalCoverage",
    "interval_width": "IntervalWidth",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "pinball": "PinballLoss",
    "r2": "R2",
    "rmse": "RootMeanSquaredError",
    "rmsle": "RootMeanSquaredLogError",
}


class MeanAbsoluteError(Metric):
    """Mean absolute error, in the unit of the target."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = predicted.reshape(-1) - target.values.reshape(-1)
        return target.mean(np.abs(error))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = np.abs(predicted - target.values.reshape(predicted.shape)).mean(axis=1)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class MeanSquaredError(Metric):
    """Mean squared error."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = predicted.reshape(-1) - target.values.reshape(-1)
        return target.mean(error**2)

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = ((predicted - target.values.reshape(predicted.shape)) ** 2).mean(axis=1)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class RootMeanSquaredError(Metric):
    """Root of the mean squared error, in the unit of the target."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = predicted.reshape(-1) - target.values.reshape(-1)
        return float(np.sqrt(target.mean(error**2)))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        each: FloatArray = ((predicted - target.values.reshape(predicted.shape)) ** 2).mean(axis=1)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return float(np.sqrt(mean))


class RootMeanSquaredLogError(Metric):
    """Root of the mean squared difference of ln(1 + value): of values that span orders of magnitude.
    Predictions below 0 count as 0; NaN where a true value is below 0.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return float(np.sqrt(target.mean(self.rows(target, predicted))))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        truth = target.values.reshape(predicted.shape)
        known = np.where(truth >= 0, truth, np.nan)
        error = np.log1p(np.maximum(predicted, 0.0)) - np.log1p(known)
        each: FloatArray = (error**2).mean(axis=1)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return float(np.sqrt(mean))


class MeanAbsolutePercentageError(Metric):
    """Mean absolute percentage error as a share: |error| / max(|truth|, 2^-52)."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        error = predicted.reshape(-1) - target.values.reshape(-1)
        size = np.maximum(np.abs(target.values.reshape(-1)), np.finfo(np.float64).eps)
        return target.mean(np.abs(error) / size)


MIDDLE = (0.5,)  # what a plain prediction stands for


class PinballLoss(Metric):
    """Pinball loss max(q·e, (q − 1)·e), e the truth less the predicted quantile q: the mean over the quantiles. Of a
    plain prediction, which stands for the middle of the target, q = ½: half of the mean absolute error.
    Koenker and Bassett, Regression Quantiles, 1978.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    of_quantiles: ClassVar[str] = "also"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        return target.mean(self.rows(target, predicted))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        error = target.values.reshape(len(predicted), -1) - predicted
        quantiles = np.array(target.quantiles or MIDDLE)
        each: FloatArray = np.maximum(quantiles * error, (quantiles - 1) * error).mean(axis=1)
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class IntervalCoverage(Metric):
    """Share of the rows whose truth lies in the interval of the lowest and the highest quantile: as near as can be to
    the share that these two say. NaN for one quantile.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"
    bounds: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    of_quantiles: ClassVar[str] = "only"
    decides: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, quantiles], rising."""
        return target.mean(self.rows(target, predicted))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        if predicted.shape[1] < 2:
            return np.full(len(predicted), np.nan)
        inside = (predicted[:, 0] <= target.values) & (target.values <= predicted[:, -1])
        return inside.astype(np.float64)

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class IntervalWidth(Metric):
    """Mean distance of the highest from the lowest quantile, in the unit of the target. NaN for one quantile."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    of_quantiles: ClassVar[str] = "only"
    decides: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, quantiles], rising."""
        return target.mean(self.rows(target, predicted))

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what the score is a mean of."""
        if predicted.shape[1] < 2:
            return np.full(len(predicted), np.nan)
        each: FloatArray = predicted[:, -1] - predicted[:, 0]
        return each

    def of_mean(self, mean: float) -> float:
        """The score of rows whose mean is `mean`."""
        return mean


class R2(Metric):
    """Coefficient of determination, 1 - SS_res / SS_tot; over several outputs the mean of those
    that are not constant. NaN where all are, as in a single row.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "value"

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, outputs]."""
        truth = target.values.reshape(len(predicted), -1)
        varies = (truth != truth[:1]).any(axis=0)
        if not varies.any():
            return float("nan")
        if target.weights is None:
            total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)[varies]
            left = ((predicted - truth) ** 2).sum(axis=0)[varies]
            return float(np.mean(1 - left / total))
        center = np.average(truth, axis=0, weights=target.weights)
        total = (target.weights @ (truth - center) ** 2)[varies]
        left = (target.weights @ (predicted - truth) ** 2)[varies]
        return float(np.mean(1 - left / total))
