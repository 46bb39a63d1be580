"""Integrated gradients (Sundararajan, Taly and Yan, 2017) of a network's answers in its features, by
the graph alone.

On the straight way from a baseline b to the row x, feature i gets the integral of its own slope:
(x_i - b_i) ∫ ∂f/∂x_i (b + t (x - b)) dt. The way is cut into m equal parts; of each part the slope
is a central difference as wide as the part itself, in its middle:

    φ_i = Σ_k f(z_k + e_i (x_i - b_i)/2m) - f(z_k - e_i (x_i - b_i)/2m),  z_k = b + (k - 1/2)/m (x - b)

Both the middle and the difference err by O(1/m²), and no step has to be chosen that is too small for
single precision. What the sum of all φ lacks of f(x) - f(b) says how well it went; m is doubled
until it is small.

A category's code has no slope: it jumps from its baseline to its value at a moment of the way, and
gets what the answer jumps by. Moments are drawn, and the mean of several ways is taken; on each of
them the sum is f(x) - f(b), too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.sampling import SamplingEffort

Floats = npt.NDArray[np.float64]
OfFeatures = Callable[[Floats], Floats]
PARTS: Final = 16  # of the way, at first
MOST_PARTS: Final = 512
WAYS: Final = 8  # where categories jump
ENOUGH: Final = 0.005  # of the distance f(x) - f(b): what the sum may lack
CELLS: Final = 1 << 22  # of the features that are asked at once


class Integrated(NamedTuple):
    """[K] answer to the baseline, [features, K], [K] what their sum lacks of the answer, and rows that
    the model answered.
    """

    base: Floats
    values: Floats
    gap: Floats
    asked: int


@dataclass(frozen=True)
class Baseline:
    """`values` [features] where the way begins; `code` [features] which are codes of categories, and
    `held` those that stay as they are in the row.
    """

    values: Floats
    code: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, x: Floats, code: npt.NDArray[np.bool_], held: npt.NDArray[np.bool_]) -> Baseline:
        """Of stored rows [rows, features]: means of numbers, the most frequent of codes."""
        values = x.mean(axis=0)
        for at in np.flatnonzero(code):
            found, counts = np.unique(x[:, at], return_counts=True)
            values[at] = found[counts.argmax()]
        return cls(values, code, held)


def least_asked(baseline: Baseline) -> int:
    """Rows that the model answers for one row, at least."""
    codes = int((baseline.code & ~baseline.held).sum())
    numbers = int((~baseline.code & ~baseline.held).sum())
    return _asked(numbers, codes, PARTS)


def integrated(
    answer: OfFeatures, x: Floats, baseline: Baseline, effort: SamplingEffort
) -> Integrated:
    """Of one row [features]. `answer`: [n, features] → [n, K]."""
    way = _Way.of(answer, x, baseline, effort.seed)
    ends = answer(np.stack([x, way.start]))
    total, asked, parts = ends[0] - ends[1], 2, PARTS
    while True:
        values = way.values(parts)
        asked += _asked(len(way.numbers), len(way.codes), parts)
        gap = total - values.sum(axis=0)
        small = np.abs(gap).max() <= ENOUGH * np.abs(total).max()
        next_asked = asked + _asked(len(way.numbers), len(way.codes), 2 * parts)
        over = time.monotonic() >= effort.end or next_asked > effort.rows
        if small or over or parts >= MOST_PARTS:
            return Integrated(ends[1], values, gap, asked)
        parts *= 2


def _asked(numbers: int, codes: int, parts: int) -> int:
    return (WAYS if codes else 1) * 2 * (numbers * parts + codes)


@dataclass(frozen=True)
class _Way:
    """From `start` to `x`. `numbers` and `codes`: the features that differ. `moments`: [ways, codes]
    when each code jumps.
    """

    answer: OfFeatures
    x: Floats
    start: Floats
    numbers: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    moments: Floats

    @classmethod
    def of(cls, answer: OfFeatures, x: Floats, baseline: Baseline, seed: int) -> _Way:
        start = np.where(baseline.held, x, baseline.values)
        moves = start != x
        codes = np.flatnonzero(moves & baseline.code)
        rng = np.random.default_rng(seed)
        # At the ends of parts, so that nothing jumps inside of one; in pairs, as early as late. No two
        # at the same moment: by so little that it stays in its part.
        drawn = rng.integers(1, PARTS, (WAYS // 2, len(codes))) / PARTS
        moments = np.concatenate([drawn, 1.0 - drawn])
        apart = rng.permuted(np.tile(np.arange(len(codes)), (WAYS, 1)), axis=1)
        moments = moments + apart * (1e-4 / MOST_PARTS / max(1, len(codes)))
        numbers = np.flatnonzero(moves & ~baseline.code)
        return cls(answer, x, start, numbers, codes, moments if len(codes) else moments[:1])

    def values(self, parts: int) -> Floats:
        """[features, K], the mean over the ways."""
        found: Floats | None = None
        for moments in self.moments:
            each = self._of_way(moments, parts)
            found = each if found is None else found + each
        return np.asarray(found) / len(self.moments)

    def _of_way(self, moments: Floats, parts: int) -> Floats:
        middles = (np.arange(parts) + 0.5) / parts
        count = len(self.numbers)
        points, pairs = self._points(middles, moments), np.arange(parts * count)
        half = (self.x - self.start)[self.numbers] / (2 * parts)

        def slopes(some: npt.NDArray[np.int64]) -> Floats:
            at, own = points[some // max(1, count)], some % max(1, count)
            ahead, behind = at.copy(), at
            rows = np.arange(len(some))
            ahead[rows, self.numbers[own]] += half[own]
            behind[rows, self.numbers[own]] -= half[own]
            return self._differences(ahead, behind)

        found = self._in_pieces(slopes, pairs)
        jumps = self._in_pieces(lambda some: self._jumps(some, moments), np.arange(len(self.codes)))
        result = np.zeros((len(self.x), found.shape[1]))
        result[self.numbers] = found.reshape(parts, count, found.shape[1]).sum(axis=0)
        result[self.codes] = jumps
        return result

    def _points(self, when: Floats, moments: Floats) -> Floats:
        """[n, features] where the way is."""
        found = self.start + when[:, None] * (self.x - self.start)
        jumped = moments < when[:, None]
        found[:, self.codes] = np.where(jumped, self.x[self.codes], self.start[self.codes])
        return found

    def _jumps(self, some: npt.NDArray[np.int64], moments: Floats) -> Floats:
        behind = self._points(moments[some], moments)
        ahead, rows = behind.copy(), np.arange(len(some))
        ahead[rows, self.codes[some]] = self.x[self.codes[some]]
        return self._differences(ahead, behind)

    def _differences(self, ahead: Floats, behind: Floats) -> Floats:
        found = self.answer(np.concatenate([ahead, behind]))
        return np.asarray(found[: len(ahead)] - found[len(ahead) :])

    def _in_pieces(
        self, ask: Callable[[npt.NDArray[np.int64]], Floats], numbers: npt.NDArray[np.int64]
    ) -> Floats:
        """So many at once as fit."""
        step = max(1, CELLS // (2 * max(1, len(self.x))))
        starts = range(0, max(1, len(numbers)), step)
        return np.concatenate([ask(numbers[at : at + step]) for at in starts])
