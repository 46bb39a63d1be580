"""Quantiles in order, and moved so that intervals hold as many rows as they say.

Sorted: the mean pinball loss of a row never rises by it, as Σ max(0, output − y) does not depend on the order and
Σ q·output is largest in it; and sorted quantiles are never farther from the true ones (Chernozhukov,
Fernández-Val and Galichon, Quantile and probability curves without crossing, 2010).

Moved: conformalized quantile regression (Romano, Patterson and Candès, 2019), by predictions of inner folds. Pairs
from the outside in (the lowest and the highest quantile, and so on) are intervals.

Shape letters: R rows, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sixfold.core.errors import DataError
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Target


class Interval(NamedTuple):
    """Places of two quantiles, and the share of the rows that is to lie between them."""

    low: int
    high: int
    share: float


def intervals(quantiles: tuple[float, ...]) -> list[Interval]:
    """From the outside in; the middle one of an odd number is in none."""
    count = len(quantiles)
    return [
        Interval(at, count - 1 - at, quantiles[count - 1 - at] - quantiles[at])
        for at in range(count // 2)
    ]


@dataclass(frozen=True)
class OrderedQuantiles(State):
    """What a family gives, sorted, with `shift` [Q] added, and sorted again where it is not all 0 (intervals that
    shrink may cross).
    """

    shift: FloatArray

    @property
    def moved(self) -> bool:
        """Whether they are calibrated."""
        return bool(self.shift.any())

    def notes(self, quantiles: tuple[float, ...]) -> list[str]:
        """What was done, in sentences."""
        moved = [
            f"{each.share:.4g} of the rows by {self.shift[each.high]:+.4g} on both sides"
            for each in intervals(quantiles)
        ]
        text = f"Intervals: calibrated (conformal) on predictions of inner folds, that of {', that of '.join(moved)}."
        return [text] if self.moved else []

    def apply(self, scores: FloatArray) -> FloatArray:
        """[R, Q] → [R, Q], rising in every row."""
        found = np.sort(scores, axis=1)
        return np.sort(found + self.shift, axis=1) if self.moved else found

    def export(self, graph: Graph, scores: str) -> str:
        """The same as nodes; `scores` is a double value [R, Q]."""
        found = self._sorted(graph, scores)
        if not self.moved:
            return found
        return self._sorted(graph, graph.op("Add", found, graph.constant(self.shift, np.float64)))

    def _sorted(self, graph: Graph, scores: str) -> str:
        count = graph.constant([len(self.shift)], np.int64)
        return graph.ops("TopK", scores, count, outputs=2, axis=1, largest=0, sorted=1)[0]


def conformal(predicted: FloatArray, target: Target) -> OrderedQuantiles:
    """`predicted`: [R, Q], sorted, of rows that their models have not seen; a row counts by its weight.

    Both ends of an interval move by the ⌈(1 − α)(n + 1)⌉-th smallest of max(low − y, y − high), where 1 − α is its share.
    Raises DataError where there are too few rows.
    """
    shift = np.zeros(predicted.shape[1])
    y = np.asarray(target.values, dtype=np.float64)
    counts = np.ones(len(y)) if target.weights is None else target.weights
    for low, high, share in intervals(target.quantiles):
        beyond = np.maximum(predicted[:, low] - y, y - predicted[:, high])
        moved = _smallest(beyond, counts, share)
        shift[low] -= moved
        shift[high] += moved
    return OrderedQuantiles(shift)


def _smallest(beyond: FloatArray, counts: FloatArray, share: float) -> float:
    """Of rows that are repeated as often as they count."""
    order = np.argsort(beyond, kind="stable")
    ends = np.cumsum(counts[order])
    rank = share * (ends[-1] + 1.0)
    if rank > ends[-1] * (1.0 + 1e-12):
        raise DataError(
            "evaluate.calibrate",
            f"at least {int(np.ceil(round(share / (1.0 - share), 9)))} rows for an interval of {share:.4g} of them",
            f"{ends[-1]:g}",
            "Leave calibrate out, or ask for quantiles that are nearer to each other.",
        )
    place = int(np.searchsorted(ends, rank * (1.0 - 1e-12)))
    return float(beyond[order[min(place, len(order) - 1)]])
