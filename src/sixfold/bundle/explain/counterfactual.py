"""The least change of a row that makes the model answer another class (Wachter et al., 2017): as few
columns as can be found, and these moved as little as they can be.

Values are those of stored training rows, so that none is one that never occurs. A search in the
width of a beam: all changes of one column, then of two, kept by the probability of the class that
is wanted; a number is then moved back towards what it was as far as the answer stays (bisection).
It finds a small change, and not always the least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.distance import GowerDistance
from sixfold.bundle.explain.sampling import Player
from sixfold.bundle.frontend import Feeds
from sixfold.recipe.signature import NUMBERS

VALUES: Final = 24  # of a column that are tried
BEAM: Final = 6
MOST_COLUMNS: Final = 4  # that change
HALVINGS: Final = 12
Floats = npt.NDArray[np.float64]


class Decided(NamedTuple):
    """[rows, classes] scores, and [rows] the numbers of the classes that are answered: a threshold may
    make these others than the largest scores.
    """

    scores: Floats
    labels: npt.NDArray[np.int64]


class Move(NamedTuple):
    """Column number `column` gets this value of a feed."""

    column: int
    value: Any


@dataclass(frozen=True)
class ChangeSearch:
    """`movable`: [columns] whether a column may change; `wanted`: the number of the class, or None
    for any other than the answer; `whole`: [columns] whether it holds whole numbers, which stay
    whole.
    """

    columns: Sequence[Player]
    background: Feeds
    decide: Callable[[Feeds], Decided]
    movable: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]
    wanted: int | None = None

    def least(self, row: Feeds) -> list[Move] | None:
        """Of one row; None where no change of up to four columns was found."""
        own = int(self.decide(row).labels[0])
        if self.wanted == own:
            return []
        singles = self._singles(row)
        beam: list[list[Move]] = [[]]
        for _ in range(min(MOST_COLUMNS, len({move.column for move in singles}))):
            tried = [
                [*moves, move]
                for moves in beam
                for move in singles
                if all(move.column != each.column for each in moves)
            ]
            found = self.decide(self._changed(row, tried))
            flipped = np.flatnonzero(self._is_other(found, own))
            if len(flipped):
                return self._nearest(row, [tried[at] for at in flipped.tolist()], own)
            gain = self._gain(found.scores, own)
            beam = [tried[at] for at in np.argsort(-gain, kind="stable")[:BEAM].tolist()]
        return None

    def _singles(self, row: Feeds) -> list[Move]:
        """All changes of one column."""
        found = []
        for number in np.flatnonzero(self.movable).tolist():
            column = self.columns[number]
            now = row[column.group][0, column.place]
            values = self.background[column.group][:, column.place]
            if column.group == NUMBERS:
                values = np.unique(values[~np.isnan(values)])
                places = np.linspace(0, len(values) - 1, min(VALUES, len(values))).round()
                values = values[places.astype(int)]
            else:
                known = values[values != ""].astype(str)
                texts, counts = np.unique(known, return_counts=True)
                values = texts[np.argsort(-counts, kind="stable")[:VALUES]]
            found += [Move(number, value) for value in values.tolist() if value != now]
        return found

    def _changed(self, row: Feeds, tried: Sequence[Sequence[Move]]) -> Feeds:
        feeds = {name: np.repeat(array, len(tried), axis=0) for name, array in row.items()}
        for at, moves in enumerate(tried):
            for move in moves:
                column = self.columns[move.column]
                feeds[column.group][at, column.place] = move.value
        return feeds

    def _is_other(self, found: Decided, own: int) -> npt.NDArray[np.bool_]:
        """[rows] whether the answer is the one that is wanted."""
        if self.wanted is None:
            return np.asarray(found.labels != own)
        return np.asarray(found.labels == self.wanted)

    def _gain(self, scores: Floats, own: int) -> Floats:
        """[rows] by how much what is wanted is ahead."""
        if self.wanted is None:
            return np.asarray(np.delete(scores, own, axis=1).max(axis=1) - scores[:, own])
        others = np.delete(scores, self.wanted, axis=1).max(axis=1)
        return np.asarray(scores[:, self.wanted] - others)

    def _nearest(self, row: Feeds, tried: list[list[Move]], own: int) -> list[Move]:
        """Of those that change the answer the nearest, and its numbers moved back."""
        distance = GowerDistance(self.columns, self.background)
        apart = distance.each(row, self._changed(row, tried)).sum(axis=1)
        moves = tried[int(apart.argmin())]
        for at, move in enumerate(moves):
            if self.columns[move.column].group == NUMBERS:
                moves = self._moved_back(row, moves, at, own)
        return moves

    def _moved_back(self, row: Feeds, moves: list[Move], at: int, own: int) -> list[Move]:
        column = self.columns[moves[at].column]
        now, far = float(row[column.group][0, column.place]), float(moves[at].value)
        if np.isnan(now):
            return moves
        near, whole = now, bool(self.whole[moves[at].column])
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            middle = round(middle) if whole else middle
            if middle in (near, far):
                break
            tried = [*moves[:at], Move(moves[at].column, float(middle)), *moves[at + 1 :]]
            if self._is_other(self.decide(self._changed(row, [tried])), own)[0]:
                moves, far = tried, float(middle)
            else:
                near = float(middle)
        return moves
