"""Integrated gradients (Sundararajan, Taly and Yan, 2017) where slopes are known, of several rows at
once.

On the straight way from a baseline b to the row x, feature i gets (x_i - b_i) ∫ ∂f/∂x_i dt. The way is
cut into parts, and each integral is taken by 15 points (Gauss and Kronrod), seven of which alone
(Gauss) tell how far it may be off; parts that are off by too much are cut in two. Categories' codes
jump at moments of the way, as in `gradients`, which lie between two parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

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
LEAST_PART: Final = 1 / 1024  # of a way
SHARE: Final = 0.25  # of ENOUGH: what one part may be off by
CELLS: Final = 1 << 20  # of the slopes of one output that are held at once
# Of -1 to 1, the first half and the middle: A. Kronrod, Nodes and weights of quadrature formulas, 1965.
NODES: Final = (
    0.991455371120812639,
    0.949107912342758525,
    0.864864423359769073,
    0.741531185599394440,
    0.586087235467691130,
    0.405845151377397167,
    0.207784955007898468,
    0.0,
)
KRONROD: Final = (
    0.022935322010529225,
    0.063092092629978553,
    0.104790010322250184,
    0.140653259715525919,
    0.169004726639267903,
    0.190350578064785410,
    0.204432940075298892,
    0.209482141084727828,
)
GAUSS: Final = (  # at every second node
    0.0,
    0.129484966168869693,
    0.0,
    0.279705391489276668,
    0.0,
    0.381830050505118945,
    0.0,
    0.417959183673469388,
)


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
    """Points at which slopes are taken for one row, at least, where all codes jump."""
    codes = int((baseline.code & ~baseline.held).sum())
    return len(MOMENTS) * (WAYS * min(PARTS, codes + 1) if codes else 1)


def integrated_slopes(
    sloped: OfSlopes, answer: OfFeatures, x: Floats, baseline: Baseline, effort: SamplingEffort
) -> list[Integrated]:
    """Of rows [rows, features]. `sloped`, `answer`: of [n, features]. `effort`: of all rows together,
    its `rows` the points at which slopes are taken.
    """
    start = np.where(baseline.held, x, baseline.values)
    if bool((baseline.code & ~baseline.held).any()):
        ways = [Way.of(answer, row, baseline, effort.seed) for row in x]
        found = _mean_of_ways(ways, _along(sloped, _WayLines.of(ways), effort))
    else:
        found = _along(sloped, _WayLines.straight(x, start), effort)
    ends = answer(np.concatenate([start, x]))
    base, whole = ends[: len(x)], ends[len(x) :]
    lacking = whole - base - found.values.sum(axis=1)
    size = np.abs(found.values)
    shares = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-300)
    values, off = found.values + lacking[:, None] * shares, found.off + np.abs(lacking)
    asked = found.asked // len(x)
    return [
        Integrated(base[row], values[row], off[row], asked, np.abs(lacking[row]))
        for row in range(len(x))
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


def _along(sloped: OfSlopes, lines: _WayLines, effort: SamplingEffort) -> LineIntegrals:
    parts, asked = lines.first_parts(), 0
    values: Floats | None = None
    error: Floats | None = None
    while len(parts.line):
        found = lines.integrals(sloped, parts)
        asked += len(parts.line) * len(MOMENTS)
        if values is None or error is None:
            values = np.zeros((len(lines.start), *found.values.shape[1:]))
            error = np.zeros((len(lines.start), found.off.shape[1]))
        np.add.at(values, parts.line, found.values)
        largest = np.abs(values).max(axis=(1, 2))[parts.line]
        again = (found.off.max(axis=1) > SHARE * ENOUGH * largest) & (parts.width > LEAST_PART)
        more = 2 * int(again.sum()) * len(MOMENTS)
        if time.monotonic() >= effort.end or asked + more > effort.rows:
            again[:] = False
        np.subtract.at(values, parts.line[again], found.values[again])
        np.add.at(error, parts.line[~again], found.off[~again])
        parts = parts.halves(again)
    if values is None or error is None:
        raise ValueError("at least one row")
    return LineIntegrals(values, error, asked)


class _WayParts(NamedTuple):
    """Of ways: the number of the line, where the part begins, and how long it is, of 1."""

    line: Numbers
    left: Floats
    width: Floats

    def halves(self, some: npt.NDArray[np.bool_]) -> _WayParts:
        """Both halves of some of them."""
        half = self.width[some] / 2
        left = np.stack([self.left[some], self.left[some] + half], axis=1)
        return _WayParts(np.repeat(self.line[some], 2), left.ravel(), np.repeat(half, 2))

    def cut(self, start: int, stop: int) -> _WayParts:
        """Those with these numbers."""
        some = slice(start, stop)
        return _WayParts(self.line[some], self.left[some], self.width[some])


@dataclass(frozen=True)
class _WayLines:
    """Every way of every row. `start`, `move`: [lines, features], of what goes on evenly; where codes
    jump, `end` is where to, and `when` the moment, infinite for others.
    """

    start: Floats
    move: Floats
    end: Floats
    when: Floats | None = None

    @classmethod
    def straight(cls, x: Floats, start: Floats) -> _WayLines:
        """On which nothing jumps."""
        return cls(start, x - start, x)

    @classmethod
    def of(cls, ways: Sequence[Way]) -> _WayLines:
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

    def first_parts(self) -> _WayParts:
        """Every line whole, or from jump to jump."""
        count = len(self.start)
        if self.when is None:
            return _WayParts(np.arange(count), np.zeros(count), np.ones(count))
        line, left, width = [], [], []
        for at, when in enumerate(self.when):
            jumps = np.unique(np.round(when[np.isfinite(when)] * PARTS) / PARTS)
            bounds = np.concatenate([[0.0], jumps, [1.0]])
            line += [at] * (len(bounds) - 1)
            left += bounds[:-1].tolist()
            width += np.diff(bounds).tolist()
        return _WayParts(np.array(line), np.array(left), np.array(width))

    def integrals(self, sloped: OfSlopes, parts: _WayParts) -> PartIntegrals:
        """Of each part."""
        step = max(1, CELLS // (len(MOMENTS) * self.start.shape[1]))
        found = [
            self._some(sloped, parts.cut(at, at + step)) for at in range(0, len(parts.line), step)
        ]
        values, off = (np.concatenate(each) for each in zip(*found, strict=True))
        return PartIntegrals(values, off)

    def _some(self, sloped: OfSlopes, parts: _WayParts) -> PartIntegrals:
        count, features = len(parts.line), self.start.shape[1]
        when = (parts.left[:, None] + parts.width[:, None] * MOMENTS)[:, :, None]
        move = self.move[parts.line][:, None]
        points = self.start[parts.line][:, None] + when * move
        if self.when is not None:
            gone = self.when[parts.line][:, None] < when
            points = np.where(gone, self.end[parts.line][:, None], points)
        slopes = sloped(points.reshape(-1, features)).slopes
        both = WEIGHTS @ slopes.reshape(count, len(MOMENTS), -1)
        moved = (move * parts.width[:, None, None])[:, :, :, None]
        both = both.reshape(count, 2, features, -1) * moved
        return PartIntegrals(both[:, 0], np.abs(both[:, 0] - both[:, 1]).max(axis=1))
