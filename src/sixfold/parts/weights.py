"""Rows that count more or less often: means and spreads by their weights.

`weights`: float64 [rows], above 0; None where each row counts once: then every number is the same, to the
bit, as without this file. A row with the weight 2 counts as two equal rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sixfold.parts.table import FloatArray, IntArray

Weights = FloatArray | None


def total(rows: int, weights: Weights) -> float:
    """Rows, each as often as it counts."""
    return float(rows) if weights is None else float(weights.sum())


def mean(values: FloatArray | IntArray, weights: Weights) -> FloatArray:
    """[rows, …] → […]."""
    if weights is None:
        return np.asarray(np.mean(values, axis=0), dtype=np.float64)
    return np.asarray(np.average(values, axis=0, weights=weights), dtype=np.float64)


def std(values: FloatArray | IntArray, weights: Weights) -> FloatArray:
    """[rows, …] → […], by the number of rows (no degree of freedom is taken off)."""
    if weights is None:
        return np.asarray(np.std(values, axis=0), dtype=np.float64)
    apart = (values - mean(values, weights)) ** 2
    return np.asarray(np.sqrt(np.average(apart, axis=0, weights=weights)), dtype=np.float64)


def spread_of(values: FloatArray, weights: Weights) -> FloatArray:
    """The same, 1 where values do not vary: what they are divided by."""
    found = std(values, weights)
    return np.where(found > 0, found, 1.0)


def relative(weights: FloatArray) -> FloatArray:
    """The same with the mean 1."""
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def quantile(values: FloatArray, weights: FloatArray, at: float) -> FloatArray:
    """[rows] → [] as numpy.quantile gives it of rows that are repeated as often as they count: of weights
    that are no whole numbers, straight on between.
    """
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[order])
    place = at * max(0.0, ends[-1] - 1.0)
    below, above = (
        values[order[min(len(order) - 1, int(np.searchsorted(ends, rank, side="right")))]]
        for rank in (np.floor(place), np.floor(place) + 1.0)
    )
    share = place - np.floor(place)
    return np.asarray(below + share * (above - below) if share > 0 else below, dtype=np.float64)


def known(
    x: FloatArray, weights: FloatArray, of: Callable[[FloatArray, FloatArray], FloatArray]
) -> FloatArray:
    """[rows, m] → [m]: `of` the values of each column that are not NaN, and their weights."""
    there = ~np.isnan(x)
    return np.array(
        [of(x[own, m], weights[own]) if own.any() else np.nan for m, own in enumerate(there.T)]
    )


def taken(weights: Weights, rows: IntArray) -> Weights:
    """Those of some rows."""
    return None if weights is None else weights[rows]


def balanced(classes: IntArray, count: int, weights: Weights) -> FloatArray:
    """[count] factor of each class that gives all that occur the same total: rows / (classes · rows of
    the class), as scikit-learn's `class_weight="balanced"`; 1 for a class without rows.
    """
    own = np.bincount(classes, weights, minlength=count).astype(np.float64)
    there = own > 0
    factor = own.sum() / (np.count_nonzero(there) * np.where(there, own, 1.0))
    return np.where(there, factor, 1.0)
