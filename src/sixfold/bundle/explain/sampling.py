"""Sampled Shapley values of any model: columns of a stored row become those of the explained one,
in a random order and in its reverse (Castro et al., 2009; Mitchell et al., 2022, antithetic).

The game: the value of a set of columns is the mean answer over the stored rows, with these columns
as in the explained row ("interventional"). A pair of orders over one stored row gives every column
two differences, whose sum over the columns is the answer to the explained row less that to the
stored one; so the mean over the pairs adds up exactly, whatever their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.frontend import Feeds

Floats = npt.NDArray[np.float64]
Answer = Callable[[Feeds], Floats]
AT_ONCE: Final = 4096  # rows that the model is asked at once
LEAST_PAIRS: Final = 2  # a standard error takes two
ENOUGH: Final = 0.01  # of the largest contribution: a standard error below it is small enough


@dataclass(frozen=True)
class SamplingEffort:
    """Of one row: at most `rows` that the model answers, and no further round after `end`
    (time.monotonic() s); the first round, of two pairs, is always made.
    """

    rows: int = 20_000
    end: float = float("inf")
    seed: int = 0


class Player(NamedTuple):
    """Where a raw column lies: array and place."""

    group: str
    place: int


class Sampled(NamedTuple):
    """[K], [C, K], [C, K], and the rows that were answered."""

    base: Floats
    values: Floats
    error: Floats
    asked: int


class Players:
    """The raw columns that take turns, and the stored rows that they are taken from."""

    def __init__(self, columns: list[Player], background: Feeds, answer: Answer) -> None:
        self.columns, self.background, self.answer = columns, background, answer
        self.rows = len(next(iter(background.values())))
        self._known = np.empty((0, 0))

    @property
    def stored(self) -> Floats:
        """[rows, K] the answers to the stored rows."""
        if not len(self._known):
            self._known = self.answer(self.background)
        return self._known

    def mixed(self, row: Feeds, taken: npt.NDArray[np.bool_], base: npt.NDArray[np.int64]) -> Feeds:
        """Stored rows `base` [n], with the columns that are `taken` [n, C] as in `row`."""
        found = {name: array[base].copy() for name, array in self.background.items()}
        for number, column in enumerate(self.columns):
            array = found[column.group]
            array[taken[:, number], column.place] = row[column.group][0, column.place]
        return found


def sampled(players: Players, row: Feeds, effort: SamplingEffort) -> Sampled:
    """Of one row, [1, columns] in every array: round after round of pairs, until the largest
    standard error is a hundredth of the largest contribution, or the effort is over.
    """
    rng = np.random.default_rng(effort.seed)
    count, full = len(players.columns), players.answer(row)[0]
    a_pair, asked = 2 * (count - 1), 1
    order = rng.permutation(players.rows)
    found: list[Floats] = []
    bases: list[npt.NDArray[np.int64]] = []
    pairs = LEAST_PAIRS if a_pair else players.rows  # the first round, to see how long one takes
    while pairs > 0:
        base = order[(sum(map(len, bases)) + np.arange(pairs)) % players.rows]
        found.append(_pairs(players, row, full, base, rng))
        bases.append(base)
        asked += pairs * a_pair
        if not a_pair or time.monotonic() >= effort.end or _is_enough(found):
            break
        pairs = min(max(1, AT_ONCE // a_pair), (effort.rows - asked) // a_pair)
    each, base = np.concatenate(found), np.concatenate(bases)
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return Sampled(players.stored[base].mean(axis=0), each.mean(axis=0), error, asked)


def _is_enough(found: list[Floats]) -> bool:
    if len(found) < 2:
        return False
    each = np.concatenate(found)
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return bool((error.max(axis=0) <= ENOUGH * np.abs(each.mean(axis=0)).max(axis=0)).all())


def _pairs(
    players: Players,
    row: Feeds,
    full: Floats,
    base: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Floats:
    """[pairs, C, K] the mean of the differences of an order and of its reverse."""
    pairs, count = len(base), len(players.columns)
    turn = rng.permuted(np.tile(np.arange(count), (pairs, 1)), axis=1)  # of every column
    steps = np.arange(1, count)[:, None]
    # after k steps of the order, and of the reverse: [pairs, C - 1, C]
    taken = np.concatenate([turn[:, None] < steps, turn[:, None] >= count - steps], axis=1)
    inner = np.empty((pairs, 2, count - 1, len(full)))
    if count > 1:
        flat, bases = taken.reshape(-1, count), np.repeat(base, 2 * (count - 1))
        answers = [
            players.answer(players.mixed(row, flat[at : at + AT_ONCE], bases[at : at + AT_ONCE]))
            for at in range(0, len(flat), AT_ONCE)
        ]
        inner = np.concatenate(answers).reshape(inner.shape)
    ends = np.broadcast_to(full, (pairs, 2, 1, len(full)))
    starts = np.broadcast_to(players.stored[base][:, None, None], ends.shape)
    steps_up = np.diff(np.concatenate([starts, inner, ends], axis=2), axis=2)
    forward = np.take_along_axis(steps_up[:, 0], turn[:, :, None], axis=1)
    backward = np.take_along_axis(steps_up[:, 1], (count - 1 - turn)[:, :, None], axis=1)
    return np.asarray((forward + backward) / 2)
