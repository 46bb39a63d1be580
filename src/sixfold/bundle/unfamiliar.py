"""What a model was asked for that it did not meet in training: counted per column, so that nothing
is passed over silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.modality_reader import reader_of
from sixfold.recipe.signature import CATEGORIES, NUMBERS, Input, Signature

if TYPE_CHECKING:
    from sixfold.bundle.predictions import Predictions

LARGE: Final = 0.05  # share of the rows from which on a column is told; guessed
KINDS: Final = {
    "unseen": "categories that were not seen in training",
    "outside": "numbers outside the range of the training rows",
    "missing": "missing values, of which training had none",
}


@dataclass(frozen=True)
class Unfamiliar:
    """Counts of one column. `unseen`: categories that no training row had; `outside`: numbers
    beyond the training rows' range; `missing`: missing values of a column that had none in
    training.
    """

    column: str
    rows: int
    unseen: int = 0
    outside: int = 0
    missing: int = 0

    def __add__(self, other: Unfamiliar) -> Unfamiliar:
        return Unfamiliar(
            self.column,
            self.rows + other.rows,
            self.unseen + other.unseen,
            self.outside + other.outside,
            self.missing + other.missing,
        )

    def counts(self) -> dict[str, int]:
        """Kind → rows, of the kinds that there are."""
        every = {"unseen": self.unseen, "outside": self.outside, "missing": self.missing}
        return {kind: count for kind, count in every.items() if count}

    def sentences(self) -> Iterator[str]:
        """What is worth a line: kinds that a large share of the rows has."""
        for kind, count in self.counts().items():
            if count >= LARGE * self.rows:
                share = count / self.rows
                yield f"{self.column}: {KINDS[kind]} in {count:,} of {self.rows:,} rows ({share:.0%})."


Tally = npt.NDArray[np.int64]


class Known:
    """What the training rows held, by a signature: made once, asked for every batch."""

    def __init__(self, signature: Signature) -> None:
        groups = signature.graph_inputs()
        self._numbers, self._categories = groups.get(NUMBERS, ()), groups.get(CATEGORIES, ())
        self._low = np.array(
            [-np.inf if each.minimum is None else each.minimum for each in self._numbers]
        )
        self._high = np.array(
            [np.inf if each.maximum is None else each.maximum for each in self._numbers]
        )
        self._levels = [frozenset(each.levels) for each in self._categories]
        every = (*self._numbers, *self._categories, *(each for _, _, each in _places(groups)))
        self._readers = [
            (group, at, reader_of(each.type).missing) for group, at, each in _places(groups)
        ]
        order = {each.name: place for place, each in enumerate(every)}
        self._names = [each.name for each in signature.inputs]
        self._order = np.array([order[name] for name in self._names], dtype=np.int64)
        self._required = np.array([not each.optional for each in signature.inputs])

    def tally(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Tally:
        """int64 [columns, 3], columns in the order of the signature: unseen, outside and missing
        values of feeds as the front end makes them. Tallies of several batches add up.
        """
        found = np.zeros((len(self._order), 3), dtype=np.int64)
        if self._numbers and NUMBERS in feeds:
            x, numbers = feeds[NUMBERS], found[: len(self._numbers)]
            numbers[:, 1] = ((x < self._low) | (x > self._high)).sum(axis=0)
            numbers[:, 2] = np.isnan(x).sum(axis=0)
        if CATEGORIES in feeds:
            for at, levels in enumerate(self._levels):
                texts = feeds[CATEGORIES][:, at].tolist()
                gone = texts.count("")
                strange = sum(text not in levels for text in texts) - gone if levels else 0
                found[len(self._numbers) + at] = (
                    strange,
                    0,
                    gone,
                )
        for number, (group, at, missing) in enumerate(
            self._readers, len(self._numbers) + len(self._categories)
        ):
            if missing is not None and group in feeds:
                found[number, 2] = (feeds[group][:, at] == missing).sum()
        ordered = found[self._order]
        ordered[:, 2] *= self._required
        return ordered

    def named(self, tally: Tally, rows: int) -> tuple[Unfamiliar, ...]:
        """An entry a raw column for a tally of so many rows."""
        return tuple(
            Unfamiliar(name, rows, *counts)
            for name, counts in zip(self._names, tally.tolist(), strict=True)
        )

    def count(self, feeds: Mapping[str, npt.NDArray[Any]]) -> tuple[Unfamiliar, ...]:
        """An entry a raw column, in the order of the signature."""
        return self.named(self.tally(feeds), len(next(iter(feeds.values()), ())))


def _places(groups: Mapping[str, Sequence[Input]]) -> list[tuple[str, int, Input]]:
    """Of the columns that have a reader: the group, the place in it, the column."""
    read = {name: columns for name, columns in groups.items() if name not in (NUMBERS, CATEGORIES)}
    return [(name, at, each) for name, columns in read.items() for at, each in enumerate(columns)]


class UnfamiliarCounts:
    """The counts of many batches."""

    def __init__(self) -> None:
        self.columns: dict[str, Unfamiliar] = {}

    def add(self, counts: Iterable[Unfamiliar]) -> None:
        """One batch more."""
        for each in counts:
            known = self.columns.get(each.column)
            self.columns[each.column] = each if known is None else known + each

    def watch(self, predictions: Predictions) -> None:
        """The answers to one batch more."""
        self.add(predictions.unfamiliar)

    def sentences(self) -> list[str]:
        """What is worth a line."""
        return [text for each in self.columns.values() for text in each.sentences()]


def joined(feeds: Sequence[Mapping[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Several batches as one."""
    return (
        {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]} if feeds else {}
    )
