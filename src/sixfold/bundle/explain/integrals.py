"""Integrated gradients (Sundararajan, Taly and Yan, 2017) where slopes are known, of several rows at
once.

On the straight way from a baseline b to the row x, feature i gets (x_i - b_i) ∫ ∂f/∂x_i dt. The way is
cut into parts, and each integral is taken by seven points (Gauss and Kronrod), three of which alone
(Gauss) tell how far it may be off; parts that are off by too much are cut in two. Categories' codes
jump at moments of the way, as in `gradients`, which lie between two parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.backward import Sloped
from sixfold.bundle.explain.gradients import (
    ENOUGH,
    PARTS,
    WAYS,
    Baseline,
    Floats,
    Integrated,
    OfFeatures,
    Way,
    spread,
)
from sixfold.bundle.explain.sampling import SamplingEffort

OfSlopes = Callable[[Floats], Sloped]
Numbers = npt.NDArray[np.int64]
PLAIN_PARTS: Final = 2  # of a way on which nothing jumps, at first
LEAST_PART: Final = 1 / 1024  # of a way
SHARE: Final = 0.25  # of ENOUGH: what one part may be off by
CELLS: Final = 1 << 22  # of the slopes that are held at once
# Of -1 to 1, the first half: A. Kronrod, Nodes and weights of quadrature formulas, 1965.
NODES: Final = (0.960491268708020283, 0.774596669241483377, 0.434243749346802558, 0.0)
KRONROD: Final = (
    0.104656226026467265,
    0.268488089868333441,
    0.401397414775962223,
    0.450916538658474142,
)
GAUSS: Final = (0.0, 5 / 9, 0.0, 8 / 9)


def _mirrored(half: Sequence[float], sign: float = 1.0) -> Floats:
    """The middle once."""
    return np.array([*half, *(sign * each for each in half[-2::-1])])


MOMENTS: Final = (1.0 + _mirrored([-each for each in NODES], -1.0)) / 2  # of a part from 0 to 1
WEIGHTS: Final = np.stack([_mirrored(KRONROD), _mirrored(GAUSS)]) / 2


class PartIntegrals(NamedTuple):
    """Of parts of ways: `values` [parts, features, K], and how far these may be `off` [parts, K]."""

    values: Floats
    off: Floats


class LineIntegrals(NamedTuple):
    """Of whole lines: `values` [lines, features, K], how far these may be `off` [lines, K], and at how
    many points slopes were taken.
    """

    values: Floats
    off: Floats
    asked: int


def least_points(baseline: Baseline) -> int:
    """Points at which slopes are taken for one row, at least."""
    has_codes = bool((baseline.code & ~baseline.held).any())
    return len(MOMENTS) * (WAYS * PARTS if has_codes else PLAIN_PARTS)


def integrated_slopes(
    sloped: OfSlopes, answer: OfFeatures, x: Floats, baseline: Baseline, effort: SamplingEffort
) -> list[Integrated]:
    """Of rows [rows, features]. `sloped`, `answer`: of [n, features]. `effort`: of all rows together,
    its `rows` the points at which slopes are taken.
    """
    start = np.where(baseline.held, x, baseline.values)
    if bool((baseline.code & ~baseline.held).any()):
        ways = [Way.of(answer, row, baseline, effort.seed) for row in x]
        found = _mean_of_ways(ways, _along(sloped, _Lines.of(ways), effort))
    else:
        found = _along(sloped, _Lines.straight(x, start), effort)
    ends = answer(np.concatenate([start, x]))
    base, whole = ends[: len(x)], ends[len(x) :]
    lacking = whole - base - found.values.sum(axis=1)
    size = np.abs(found.values)
    shares = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-300)
    values, off = found.values + lacking[:, None] * shares, found.off + np.abs(lacking)
    asked = found.asked // len(x)
    return [
        Integrated(*each, asked, np.abs(less))
        for *each, less in zip(base, values, off, lacking, strict=True)
    ]


def _mean_of_ways(ways: Sequence[Way], along: LineIntegrals) -> LineIntegrals:
    """[rows, features, K] with what codes get, and [rows, K] with the standard error over ways."""
    values, off, at = [], [], 0
    for way in ways:
        own = slice(at, at + len(way.moments))
        at += len(way.moments)
        of_ways = along.values[own]
        for number, moments in enumerate(way.moments if len(way.codes) else ()):
            of_ways[number, way.codes] = way.jumps(moments)
        values.append(of_ways.mean(axis=0))
        off.append(along.off[own].mean(axis=0) + spread(of_ways))
    return LineIntegrals(np.stack(values), np.stack(off), along.asked)


def _along(sloped: OfSlopes, lines: _Lines, effort: SamplingEffort) -> LineIntegrals:
    which, left = lines.first_parts()
    width, asked, values, error = 1.0 / lines.parts, 0, None, None
    while len(which):
        part = lines.integrals(sloped, which, left, width)
        asked += len(which) * len(MOMENTS)
        if values is None or error is None:
            values = np.zeros((len(lines.start), *part.values.shape[1:]))
            error = np.zeros((len(lines.start), part.off.shape[1]))
        np.add.at(values, which, part.values)
        largest = np.abs(values).max(axis=(1, 2))
        again = part.off.max(axis=1) > SHARE * ENOUGH * largest[which]
        more = 2 * int(again.sum()) * len(MOMENTS)
        if width <= LEAST_PART or time.monotonic() >= effort.end or asked + more > effort.rows:
            again[:] = False
        np.subtract.at(values, which[again], part.values[again])
        np.add.at(error, which[~again], part.off[~again])
        width /= 2
        which, left = np.repeat(which[again], 2), (left[again][:, None] + [0.0, width]).ravel()
    if values is None or error is None:
        raise ValueError("at least one row")
    return LineIntegrals(values, error, asked)


@dataclass(frozen=True)
class _Lines:
    """Every way of every row. `start`, `move`: [lines, features], of what goes on evenly; where codes
    jump, `end` is where to, and `when` the moment, infinite for others.
    """

    start: Floats
    move: Floats
    end: Floats
    when: Floats | None = None

    @classmethod
    def straight(cls, x: Floats, start: Floats) -> _Lines:
        """On which nothing jumps."""
        return cls(start, x - start, x)

    @classmethod
    def of(cls, ways: Sequence[Way]) -> _Lines:
        starts, moves, ends, whens = [], [], [], []
        for way in ways:
            even = np.zeros_like(way.start)
            even[way.numbers] = (way.x - way.start)[way.numbers]
            for moments in way.moments:
                when = np.full(len(way.x), np.inf)
                when[way.codes] = moments
                starts.append(way.start)
                moves.append(even)
                ends.append(way.x)
                whens.append(when)
        return cls(np.stack(starts), np.stack(moves), np.stack(ends), np.stack(whens))

    @property
    def parts(self) -> int:
        """Of every line, at first: what jumps does so between two of them."""
        return PLAIN_PARTS if self.when is None else PARTS

    def first_parts(self) -> tuple[Numbers, Floats]:
        """The line of each part, and where it begins."""
        lines, begins = np.arange(len(self.start)), np.arange(self.parts) / self.parts
        return np.repeat(lines, self.parts), np.tile(begins, len(self.start))

    def integrals(
        self, sloped: OfSlopes, which: Numbers, left: Floats, width: float
    ) -> PartIntegrals:
        """Of parts of this width."""
        step = max(1, CELLS // (len(MOMENTS) * self.start.shape[1]))
        found = [
            self._some(sloped, which[at : at + step], left[at : at + step], width)
            for at in range(0, len(which), step)
        ]
        values, off = (np.concatenate(each) for each in zip(*found, strict=True))
        return PartIntegrals(values, off)

    def _some(self, sloped: OfSlopes, which: Numbers, left: Floats, width: float) -> PartIntegrals:
        when = (left[:, None] + width * MOMENTS)[:, :, None]
        points: Any = self.start[which][:, None] + when * self.move[which][:, None]
        if self.when is not None:
            gone = self.when[which][:, None] < when
            points = np.where(gone, self.end[which][:, None], points)
        features = self.start.shape[1]
        slopes = sloped(points.reshape(-1, features)).slopes
        shape = len(which), len(MOMENTS), features * slopes.shape[2]
        both = (WEIGHTS @ slopes.reshape(shape)).reshape(len(which), 2, features, -1)
        both *= width * self.move[which][:, None, :, None]
        return PartIntegrals(both[:, 0], np.abs(both[:, 0] - both[:, 1]).max(axis=1))
