"""Whether explanations tell what the model looks at: deletion and insertion curves (Petsiuk et al.,
2018, there of pixels), against a random order.

Deletion: what is told of (columns, or pieces of a text, an image or a recording) is taken away, that
which adds most first. Insertion: from nothing, all is put in, in the same order. What is drawn is
how far the answer is from the one to the whole row, as a share of how far that of nothing is: 0 is
the same answer. Good explanations move it soon: the area of deletion is large, that of insertion
small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.attributions import Attributions, Floats
from sixfold.bundle.explain.sampling import Players
from sixfold.bundle.frontend import Feeds
from sixfold.core.errors import RowError
from sixfold.core.units import counted

STORED: Final = 10  # rows that columns are taken from, for each explained one
STEPS: Final = 20  # of a curve, at most
ROWS: Final = 50  # that are looked at
ORDERS: Final = 4  # random ones, against the explanation of a single row
LEAST_WAY: Final = (
    1e-9  # between the answers to all and to nothing of a row, of which shares are told
)


class Game(Protocol):
    """One row, of which parts can be taken away."""

    @property
    def count(self) -> int:
        """Parts."""

    def answers(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """[n, parts] which are kept → [n, K]."""


class JudgedRow(NamedTuple):
    """A row, how much each of its parts is said to add [parts], and of which output."""

    game: Game
    sizes: Floats
    output: int


class Faithfulness(NamedTuple):
    """Curves over `shares` of the parts, means over `rows` rows, and those of a random order."""

    rows: int
    shares: Floats
    deletion: Floats
    insertion: Floats
    random_deletion: Floats
    random_insertion: Floats

    def areas(self) -> dict[str, float]:
        """Below each curve."""
        names = ("deletion", "insertion", "random_deletion", "random_insertion")
        return {name: float(np.trapezoid(getattr(self, name), self.shares)) for name in names}

    def sentence(self, what: str = "columns") -> str:
        """In words; `what` is taken away."""
        area = self.areas()
        return (
            f"Faithfulness over {counted(self.rows, 'row')}: taking {what} away in the order of their contributions "
            f"{_compared(area)}."
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        curves = {
            name: [float(value) for value in values]
            for name, values in self._asdict().items()
            if name != "rows"
        }
        return {"rows": self.rows, "areas": self.areas(), **curves}


def sentence_of(areas: Mapping[str, float], what: str) -> str:
    """In words, of what `of_one` found; `what` is taken away."""
    return f"Faithfulness: taking {what} away in this order {_compared(areas)}."


def _compared(area: Mapping[str, float]) -> str:
    return (
        f"moves the answer by {area['deletion']:.2f} of its way on average "
        f"({area['random_deletion']:.2f} in a random order, more is better); putting them in leaves "
        f"{area['insertion']:.2f} of it ({area['random_insertion']:.2f} in a random order, less is better)"
    )


def answered(columns: int) -> int:
    """Rows that the model answers for one row of a table."""
    return STORED * answered_pieces(columns)


def answered_pieces(pieces: int) -> int:
    """Rows that the model answers for one row of so many pieces."""
    return 4 * (min(STEPS, pieces) + 1)


def of_one(judged: JudgedRow, most_s: float) -> dict[str, dict[str, float]]:
    """`faithfulness`: the areas below the curves of one explanation, against the mean of ORDERS random orders.
    Nothing where that would take more than `most_s`, about, of fewer than two parts, and where the answer to
    nothing of the row is that to all of it.
    """
    count = judged.game.count
    if count < 2:
        return {}
    started = time.perf_counter()
    whole, nothing = judged.game.answers(np.array([[True] * count, [False] * count]))
    asked = (1 + ORDERS) * answered_pieces(count) // 2
    expected_s = asked * (time.perf_counter() - started) / 2
    way = abs(whole[judged.output] - nothing[judged.output])
    if not LEAST_WAY < way < np.inf or expected_s > most_s:
        return {}
    return {"faithfulness": measure([judged], ORDERS).areas()}


def measure(rows: Iterable[JudgedRow], random_orders: int = 1) -> Faithfulness:
    """Of rows that may have different numbers of parts, against the mean of so many seeded random orders. Raises
    RowError where none has a part.
    """
    rng, grid = np.random.default_rng(0), np.linspace(0.0, 1.0, STEPS + 1)
    curves: list[Floats] = []
    shares: list[Floats] = []
    weight = 0.0
    for game, sizes, output in rows:
        count = game.count
        if not count:
            continue
        steps = np.unique(np.linspace(0, count, min(STEPS, count) + 1).round().astype(int))
        own = np.zeros((4, len(steps)))
        random = [rng.permutation(count) for _ in range(random_orders)]
        for number, order in enumerate([np.argsort(-np.abs(sizes), kind="stable"), *random]):
            turn, share = np.argsort(order), 1.0 / random_orders if number else 1.0
            inserted = game.answers(turn[None] < steps[:, None])[:, output]
            deleted = game.answers(turn[None] >= steps[:, None])[:, output]
            own[2 * (number > 0)] += share * np.abs(deleted - deleted[0])
            own[2 * (number > 0) + 1] += share * np.abs(inserted - inserted[-1])
        weight += float(np.abs(inserted[0] - inserted[-1]))
        curves.append(own)
        shares.append(steps / count)
    if not curves:
        raise RowError("rows", "a row with something to take away", "none", "Give other rows.")
    if any(len(each) != len(shares[0]) or (each != shares[0]).any() for each in shares):
        curves = [
            np.stack([np.interp(grid, own, line) for line in lines])
            for own, lines in zip(shares, curves, strict=True)
        ]
        shares = [grid]
    mean = np.sum(curves, axis=0) / max(weight, np.finfo(np.float64).tiny)
    return Faithfulness(len(curves), shares[0], mean[0], mean[1], mean[2], mean[3])


@dataclass(frozen=True)
class TableGame:
    """Columns of a row become those of the stored rows `base`; the answer is the mean over them."""

    players: Players
    row: Feeds
    base: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """Raw columns."""
        return len(self.players.columns)

    def answers(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """[n, columns] → [n, K]."""
        taken, base = np.repeat(kept, len(self.base), axis=0), np.tile(self.base, len(kept))
        found = self.players.answer(self.players.mixed(self.row, taken, base))
        return np.asarray(found.reshape(len(kept), len(self.base), -1).mean(axis=1))


def table_rows(players: Players, feeds: Feeds, found: Attributions, most: int) -> list[JudgedRow]:
    """The first rows of `found`, at most `most`, which are those of `feeds`, and of the output that
    each is told of.
    """
    rng, rows = np.random.default_rng(1), min(len(found), ROWS, most)
    judged = []
    for row, output in enumerate(found.places(None)[:rows]):
        one = {name: array[row : row + 1] for name, array in feeds.items()}
        game = TableGame(players, one, rng.permutation(players.rows)[:STORED])
        judged.append(JudgedRow(game, found.contributions[row, :, output], output))
    return judged
