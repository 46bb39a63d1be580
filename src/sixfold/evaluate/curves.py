"""Figures of out-of-fold predictions: confusion, ROC, precision-recall, calibration, residuals;
bounded in points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from sixfold.parts.table import FloatArray, IntArray, Target
from sixfold.parts.weights import taken

POINTS = 120
DOTS = 800
BINS = 10
MOST_CLASSES = 6  # lines in one chart
MOST_CELLS = 30  # classes of a confusion matrix


class Points(NamedTuple):
    """One line: its name, x and y, float64 of equal length."""

    name: str
    x: FloatArray
    y: FloatArray


def seen(predictions: FloatArray) -> IntArray:
    """Rows that some fold validated."""
    return np.flatnonzero(np.isfinite(predictions).all(axis=1))


def confusion(target: Target, labels: IntArray) -> IntArray | None:
    """[classes, classes] true by predicted; None beyond 30 classes. `labels`: [rows] classes, -1
    where no fold validates.
    """
    count = len(target.classes)
    if count > MOST_CELLS:
        return None
    rows = np.flatnonzero(labels >= 0)
    pairs = target.values[rows].astype(np.int64) * count + labels[rows]
    return np.asarray(
        np.bincount(pairs, minlength=count * count).reshape(count, count), dtype=np.int64
    )


def roc(target: Target, predictions: FloatArray) -> list[Points]:
    """True positive rate over false positive rate, a line a class (the last class only when there
    are two).
    """
    rows, found = seen(predictions), []
    for label in _labels(target):
        truth = target.values[rows] == label
        if 0 < truth.sum() < len(rows):
            x, y, _ = roc_curve(
                truth, predictions[rows, label], sample_weight=taken(target.weights, rows)
            )
            found.append(_thinned(target.classes[label], x, y))
    return found


def precision_recall(target: Target, predictions: FloatArray) -> list[Points]:
    """Precision over recall, a line a class."""
    rows, found = seen(predictions), []
    for label in _labels(target):
        truth = target.values[rows] == label
        if truth.any():
            precision, recall, _ = precision_recall_curve(
                truth, predictions[rows, label], sample_weight=taken(target.weights, rows)
            )
            found.append(_thinned(target.classes[label], recall[::-1], precision[::-1]))
    return found


def calibration(target: Target, predictions: FloatArray) -> list[Points]:
    """Observed share over mean predicted probability, in bins with equally many rows."""
    rows, found = seen(predictions), []
    for label in _labels(target):
        probability = predictions[rows, label]
        order = np.argsort(probability, kind="stable")
        parts = [part for part in np.array_split(order, BINS) if len(part)]
        truth, own = target.values[rows] == label, target.take(rows)
        parts = [part for part in parts if own.take(part).total > 0]
        x = np.array([own.take(part).mean(probability[part]) for part in parts])
        y = np.array([own.take(part).mean(truth[part]) for part in parts])
        found.append(Points(target.classes[label], x, y))
    return found


def quantiles(target: Target, predictions: FloatArray) -> Points:
    """The share of rows whose truth is not above each quantile, over the quantile."""
    rows = seen(predictions)
    own = target.take(rows)
    below = own.values[:, None] <= predictions[rows]
    shares = np.array([own.mean(below[:, at]) for at in range(below.shape[1])])
    return Points("rows below", np.array(target.quantiles), shares)


def residuals(target: Target, predictions: FloatArray) -> Points:
    """Prediction minus truth over prediction, of at most 800 rows (and of the first output)."""
    rows = seen(predictions)
    some = rows[np.linspace(0, len(rows) - 1, min(DOTS, len(rows))).astype(np.int64)]
    truth = target.values.reshape(len(target.values), -1)[some, 0]
    predicted = predictions[some, 0]
    return Points(target.names[0], predicted, predicted - truth)


def residuals_in_words(target: Target, predictions: FloatArray) -> str:
    """How far out-of-fold predictions are off (first output): median, 90th percentile, the worst,
    and the mean.
    """
    rows = seen(predictions)
    error = predictions[rows, 0] - target.values.reshape(len(target.values), -1)[rows, 0]
    half, most, worst = np.quantile(np.abs(error), [0.5, 0.9, 1.0])
    mean = float(error.mean())
    return (
        f"{target.names[0]}, {len(rows):,} rows: half of the predictions are off by at most {half:.4g}, nine in ten by at "
        f"most {most:.4g}, the worst by {worst:.4g}; on average they are {abs(mean):.4g} too {'high' if mean > 0 else 'low'}."
    )


def _labels(target: Target) -> Sequence[int]:
    count = len(target.classes)
    return [1] if count == 2 else list(range(min(count, MOST_CLASSES)))


def _thinned(name: str, x: FloatArray, y: FloatArray) -> Points:
    kept = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(np.int64))
    return Points(name, x[kept], y[kept])
