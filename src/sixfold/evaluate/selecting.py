"""Which candidates get all folds: blocks of folds for all that are still in, then a selection drops some, and says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol, runtime_checkable

import numpy as np

from sixfold.core.seeds import derive
from sixfold.parts.table import BoolArray, FloatArray

Score = Callable[[Sequence[int], Sequence[int]], FloatArray]
"""(positions of candidates, numbers of folds) → float64 [candidates, folds], greater is better, NaN where undefined."""

Dropped = tuple[int, str]
"""A candidate's position, and why it gets no more folds: a clause with numbers."""


@runtime_checkable
class Selection(Protocol):
    """What the plug-ins in `selection/` are."""

    def blocks(self, folds: int) -> tuple[int, ...]:
        """How many folds are done at a time; their sum is `folds`. Networks of a block train as one."""

    def dropped(self, scores: FloatArray, folds_total: int, bounds: tuple[float, float] | None = None) -> list[Dropped]:
        """Who gets no more folds. `scores`: [candidates, folds done], greater is better, NaN for who was dropped before
        (`alive` tells). `bounds`: the worst and the best score possible, where the metric has them. Never drops all.
        """


@dataclass(frozen=True)
class Drop:
    """Candidate `position` left after `folds` folds."""

    position: int
    folds: int
    reason: str


@dataclass(frozen=True)
class Selected:
    """`scores`: [candidates, folds] in the folds' own order, NaN where not scored. `fits`: how many were trained."""

    scores: FloatArray
    drops: tuple[Drop, ...]
    fits: int

    @property
    def finished(self) -> list[int]:
        """Positions of the candidates that were scored on every fold: the winner is one of them."""
        return [int(position) for position in np.flatnonzero(alive(self.scores))]


def alive(scores: FloatArray) -> BoolArray:
    """[candidates] who was scored on every fold done."""
    return np.asarray(np.isfinite(scores).all(axis=1))


def order(folds: int, seed: int) -> list[int]:
    """Folds in random order: the first ones are a sample of all, also where a splitter makes unlike folds (time, groups)."""
    return [int(fold) for fold in np.random.default_rng(derive(seed, "order of folds")).permutation(folds)]


def select(
    selection: Selection, candidates: int, folds: int, score: Score, seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Selected:  # fmt: skip
    """Score all candidates block by block and drop whom `selection` drops. Equal seeds visit the folds in equal order.

    A candidate that a fold cannot score is dropped too: it has no mean. `bounds`: as in `Selection.dropped`.
    """
    visited = order(folds, seed)
    scores = np.full((candidates, folds), np.nan)
    remaining, drops, fits = list(range(candidates)), list[Drop](), 0
    for before, done in pairwise(accumulate(selection.blocks(folds), initial=0)):
        block = visited[before:done]
        scores[np.ix_(remaining, block)] = score(remaining, block)
        fits += len(remaining) * len(block)
        seen = scores[:, visited[:done]]
        leaving = [(at, "a fold it cannot be scored on") for at in remaining if not alive(seen)[at]]
        if done < folds and len(leaving) < len(remaining):
            leaving += selection.dropped(seen, folds, bounds)
        drops += [Drop(at, done, reason) for at, reason in leaving]
        remaining = [at for at in remaining if at not in {position for position, _ in leaving}]
        if not remaining:
            break
    return Selected(scores, tuple(drops), fits)
