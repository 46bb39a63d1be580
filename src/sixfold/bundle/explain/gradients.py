"""Integrated gradients (Sundararajan, Taly and Yan, 2017) of a network's answers in its features,
where its slopes are not known (`integrals` has them where they are).

On the straight way from a baseline b to the row x, feature i gets the integral of its own slope:
(x_i - b_i) ∫ ∂f/∂x_i (b + t (x - b)) dt. Without slopes the way is cut into m equal
parts, and in each the features go on one after the other, in an order and in its reverse; a feature
gets the mean of its two differences. As m grows, these are the integrals; what the order does
cancels up to second order. Differences in a row leave nothing out: the sum of all φ is f(x) - f(b)
for every m, up to rounding. m is doubled until that hardly changes any φ.

A category's code has no slope: it jumps from its baseline to its value at a moment of the way, and
gets what the answer jumps by. Moments are drawn, and the mean of several ways is taken.
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
PARTS: Final = 8  # of the way, at first
MOST_PARTS: Final = 1024
WAYS: Final = 8  # where categories jump, in pairs
ENOUGH: Final = 0.005  # of the largest contribution: what doubling the parts may change
CELLS: Final = 1 << 22  # of the features that are asked at once


class Integrated(NamedTuple):
    """[K] answer to the baseline, [features, K]; `error` [K]: how far the integral of a contribution
    may be off, about, and the standard error over pairs of ways; and rows that the model answered.
    `lacking` [K]: by how much the sum was off before that was shared out; None of differences, which
    leave nothing out.
    """

    base: Floats
    values: Floats
    error: Floats
    asked: int
    lacking: Floats | None = None


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
    """Rows that the model answers for one row, at most, to be told of at all."""
    codes = int((baseline.code & ~baseline.held).sum())
    numbers = int((~baseline.code & ~baseline.held).sum())
    return _asked(numbers, codes, PARTS) + _asked(numbers, codes, 2 * PARTS)


def integrated(
    answer: OfFeatures, x: Floats, baseline: Baseline, effort: SamplingEffort
) -> Integrated:
    """Of one row [features]. `answer`: [n, features] → [n, K]."""
    way = Way.of(answer, x, baseline, effort.seed)
    base, parts = answer(way.start[None])[0], PARTS
    coarse, asked = way.values(parts), 1 + way.asked(parts)
    while True:
        parts *= 2
        fine = way.values(parts)
        asked += way.asked(parts)
        changed = np.abs(fine.mean(axis=0) - coarse.mean(axis=0)).max(axis=0)
        small = changed.max() <= ENOUGH * np.abs(fine.mean(axis=0)).max()
        over = time.monotonic() >= effort.end or asked + way.asked(2 * parts) > effort.rows
        if small or over or parts >= MOST_PARTS:
            return Integrated(base, fine.mean(axis=0), changed + spread(fine), asked)
        coarse = fine


def _asked(numbers: int, codes: int, parts: int) -> int:
    return (WAYS if codes else 1) * 2 * (numbers * parts + codes)


def spread(values: Floats) -> Floats:
    """[K] the largest standard error of a mean over pairs of ways [ways, features, K]."""
    if len(values) == 1:
        return np.zeros(values.shape[2])
    pairs = (values[: WAYS // 2] + values[WAYS // 2 :]) / 2
    errors = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    return np.asarray(errors.max(axis=0))


@dataclass(frozen=True)
class Way:
    """From `start` to `x`. `numbers` and `codes`: the features that differ, numbers in the order in
    which they go on. `moments`: [ways, codes] when each code jumps.
    """

    answer: OfFeatures
    x: Floats
    start: Floats
    numbers: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    moments: Floats

    @classmethod
    def of(cls, answer: OfFeatures, x: Floats, baseline: Baseline, seed: int) -> Way:
        """To the row `x` [features]; moments are drawn by `seed`."""
        start = np.where(baseline.held, x, baseline.values)
        moves = start != x
        codes = np.flatnonzero(moves & baseline.code)
        rng = np.random.default_rng(seed)
        # At the ends of parts, so that nothing jumps inside of one; in pairs, as early as late. No two
        # at the same moment: apart by so little that it stays in its part.
        drawn = rng.integers(1, PARTS, (WAYS // 2, len(codes))) / PARTS
        moments = np.concatenate([drawn, 1.0 - drawn])
        apart = rng.permuted(np.tile(np.arange(len(codes)), (WAYS, 1)), axis=1)
        moments = moments + apart * (1e-4 / MOST_PARTS / max(1, len(codes)))
        numbers = rng.permutation(np.flatnonzero(moves & ~baseline.code))
        return cls(answer, x, start, numbers, codes, moments if len(codes) else moments[:1])

    def asked(self, parts: int) -> int:
        """Rows that the model answers for `values`."""
        return _asked(len(self.numbers), len(self.codes), parts)

    def values(self, parts: int) -> Floats:
        """[ways, features, K]."""
        return np.stack([self._of_way(moments, parts) for moments in self.moments])

    def _of_way(self, moments: Floats, parts: int) -> Floats:
        outputs = self.answer(self.x[None]).shape[1]
        found = np.zeros((len(self.x), outputs))
        if len(self.numbers):
            found[self.numbers] = self._steps(moments, parts)
        if len(self.codes):
            found[self.codes] = self.jumps(moments)
        return found

    def jumps(self, moments: Floats) -> Floats:
        """[codes, K] what each gets, of the ways with these moments."""
        return self._in_pieces(lambda some: self._jumps(some, moments), len(self.codes))

    def _steps(self, moments: Floats, parts: int) -> Floats:
        """[numbers, K]. State s of a part: the first s numbers have gone on; beyond all of them, the
        last ones, as many as s is beyond.
        """
        count, place = len(self.numbers), np.arange(len(self.numbers))
        when = np.arange(parts) / parts
        jumped = moments < when[:, None] + 0.5 / parts

        def states(some: npt.NDArray[np.int64]) -> Floats:
            part, state = some // (2 * count), some % (2 * count)
            forward = place < state[:, None]
            backward = place >= (2 * count - state)[:, None]
            gone = np.where((state <= count)[:, None], forward, backward)
            return self.answer(self._points(when[part], jumped[part], gone / parts))

        answers = self._in_pieces(states, parts * 2 * count)
        answers = answers.reshape(parts, 2 * count, answers.shape[1])
        ends = answers[:, count : count + 1]
        backwards = np.concatenate([answers[:, :1], answers[:, count + 1 :], ends], axis=1)
        ahead = np.diff(answers[:, : count + 1], axis=1).sum(axis=0)
        back = np.diff(backwards, axis=1).sum(axis=0)[::-1]
        return np.asarray((ahead + back) / 2)

    def _points(self, when: Floats, jumped: npt.NDArray[np.bool_], more: Floats) -> Floats:
        """[n, features] where the way is; numbers are by `more` [n, numbers] farther."""
        found = np.tile(self.start, (len(when), 1))
        own = self.numbers
        found[:, own] += (when[:, None] + more) * (self.x - self.start)[own]
        found[:, self.codes] = np.where(jumped, self.x[self.codes], self.start[self.codes])
        return found

    def _jumps(self, some: npt.NDArray[np.int64], moments: Floats) -> Floats:
        when = np.round(moments[some] * PARTS) / PARTS
        none = np.zeros((len(some), len(self.numbers)))
        behind = self._points(when, moments < moments[some, None], none)
        ahead, rows = behind.copy(), np.arange(len(some))
        ahead[rows, self.codes[some]] = self.x[self.codes[some]]
        found = self.answer(np.concatenate([ahead, behind]))
        return np.asarray(found[: len(some)] - found[len(some) :])

    def _in_pieces(self, ask: Callable[[npt.NDArray[np.int64]], Floats], count: int) -> Floats:
        """So many at once as fit."""
        step = max(1, CELLS // (2 * max(1, len(self.x))))
        numbers = np.arange(count)
        return np.concatenate([ask(numbers[at : at + step]) for at in range(0, count, step)])
