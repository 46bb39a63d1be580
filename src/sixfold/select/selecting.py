"""Which candidates get all folds: blocks of folds for all that are still in, then a selection drops
some, and says why.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sixfold.core.seeds import derive
from sixfold.evaluate.scoring import ScoreBounds
from sixfold.parts.table import BoolArray, FloatArray, IntArray


class Scored(NamedTuple):
    """`folds`: float64 [candidates, folds], greater is better, NaN where undefined. `pieces`:
    [candidates, folds, pieces], the same of parts of each fold's validation rows, always as many;
    None where the metric is no mean over rows.
    """

    folds: FloatArray
    pieces: FloatArray | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """Asks for the scores of the candidates at `positions` on the folds `numbers`."""

    positions: tuple[int, ...]
    numbers: tuple[int, ...]


Dropped = tuple[int, str]
"""A candidate's position, and why it gets no more folds: a clause with numbers."""


@dataclass(frozen=True)
class Seen:
    """What a selection decides by: [candidates, folds done] `scores` and [candidates, folds done,
    pieces] `pieces`, as in `Scored`, NaN for who was dropped before (`alive` tells). `bounds`: the
    worst and the best score possible, where the metric has them.
    """

    scores: FloatArray
    folds_total: int
    bounds: ScoreBounds | None = None
    pieces: FloatArray | None = None


@runtime_checkable
class Selection(Protocol):
    """What the plug-ins in `selection/` are."""

    def blocks(self, folds: int) -> tuple[int, ...]:
        """How many folds are done at a time; their sum is `folds`. Networks of a block train as
        one.
        """

    def dropped(self, seen: Seen) -> list[Dropped]:
        """Who gets no more folds. Never all."""


@dataclass(frozen=True)
class Drop:
    """Candidate `position` left after `folds` folds."""

    position: int
    folds: int
    reason: str


@dataclass(frozen=True)
class Selected:
    """`scores`: [candidates, folds] in the folds' own order, NaN where not scored. `fits`: how many
    were trained.
    """

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
    """Folds in random order: the first ones are a sample of all, also where a splitter makes unlike
    folds (time, groups).
    """
    return [
        int(fold)
        for fold in np.random.default_rng(derive(seed, "order of folds")).permutation(folds)
    ]


def select(
    selection: Selection,
    candidates: int,
    folds: int,
    seed: int = 0,
    bounds: ScoreBounds | None = None,
) -> Generator[ScoreRequest, Scored, Selected]:
    """Ask for the scores of all candidates block by block and drop whom `selection` drops. Equal
    seeds visit the folds in equal order.

    A candidate that a fold cannot score is dropped too: it has no mean. `bounds`: as in `Seen`.
    """
    visited = order(folds, seed)
    scores, pieces = np.full((candidates, folds), np.nan), _Pieces(candidates, folds)
    remaining, drops, fits = list(range(candidates)), list[Drop](), 0
    for before, done in pairwise(accumulate(selection.blocks(folds), initial=0)):
        block = visited[before:done]
        found = yield ScoreRequest(tuple(remaining), tuple(block))
        scores[np.ix_(remaining, block)] = found.folds
        pieces.add(np.ix_(remaining, block), found.pieces)
        fits += len(remaining) * len(block)
        seen = scores[:, visited[:done]]
        leaving = [(at, "a fold it cannot be scored on") for at in remaining if not alive(seen)[at]]
        if done < folds and len(leaving) < len(remaining):
            leaving += selection.dropped(Seen(seen, folds, bounds, pieces.of(visited[:done])))
        drops += [Drop(at, done, reason) for at, reason in leaving]
        remaining = [at for at in remaining if at not in {position for position, _ in leaving}]
        if not remaining:
            break
    return Selected(scores, tuple(drops), fits)


class _Pieces:
    """Those of all candidates on all folds, while every score comes with some."""

    def __init__(self, candidates: int, folds: int) -> None:
        self.shape = candidates, folds
        self.kept: FloatArray | None = None
        self.missing = False

    def add(self, place: tuple[IntArray, ...], found: FloatArray | None) -> None:
        """`place`: rows and columns of `found`."""
        self.missing = self.missing or found is None
        if found is not None:
            self.kept = (
                np.full((*self.shape, found.shape[2]), np.nan) if self.kept is None else self.kept
            )
            self.kept[place] = found

    def of(self, numbers: Sequence[int]) -> FloatArray | None:
        """[candidates, folds, pieces] of some folds."""
        return None if self.missing or self.kept is None else self.kept[:, numbers]
