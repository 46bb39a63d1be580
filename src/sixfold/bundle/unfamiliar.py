"""What a model was asked for that it did not meet in training: counted per column, so that nothing is passed over silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.recipe.signature import CATEGORIES, NUMBERS, Signature

LARGE: Final = 0.05  # share of the rows from which on a column is told; guessed


@dataclass(frozen=True)
class Unfamiliar:
    """Counts of one column. `unseen`: categories that no training row had; `outside`: numbers beyond the training rows' range;
    `missing`: missing values of a column that had none in training.
    """

    column: str
    rows: int
    unseen: int = 0
    outside: int = 0
    missing: int = 0

    def __add__(self, other: Unfamiliar) -> Unfamiliar:
        return Unfamiliar(
            self.column, self.rows + other.rows, self.unseen + other.unseen, self.outside + other.outside,
            self.missing + other.missing,
        )  # fmt: skip

    def sentences(self) -> Iterator[str]:
        """What is worth a line: kinds that a large share of the rows has."""
        kinds = (
            (self.unseen, "categories that were not seen in training"),
            (self.outside, "numbers outside the range of the training rows"),
            (self.missing, "missing values, of which training had none"),
        )
        for count, what in kinds:
            if count and count >= LARGE * self.rows:
                yield f"{self.column}: {what} in {count:,} of {self.rows:,} rows ({count / self.rows:.0%})."


def count(signature: Signature, feeds: Mapping[str, npt.NDArray[Any]]) -> tuple[Unfamiliar, ...]:
    """One entry a raw column, in the order of the signature, for feeds as the front end makes them."""
    found: dict[str, Unfamiliar] = {}
    groups = signature.graph_inputs()
    if NUMBERS in groups:
        columns, x = groups[NUMBERS], feeds[NUMBERS]
        low = np.array([-np.inf if column.minimum is None else column.minimum for column in columns])
        high = np.array([np.inf if column.maximum is None else column.maximum for column in columns])
        outside = ((x < low) | (x > high)).sum(axis=0).tolist()
        missing = np.isnan(x).sum(axis=0).tolist()
        for column, beyond, gone in zip(columns, outside, missing, strict=True):
            gone = 0 if column.optional else gone
            found[column.name] = Unfamiliar(column.name, len(x), outside=beyond, missing=gone)
    for number, column in enumerate(groups.get(CATEGORIES, ())):
        texts = feeds[CATEGORIES][:, number].tolist()
        gone = texts.count("")
        known = frozenset(column.levels)
        unseen = sum(text not in known for text in texts) - gone
        found[column.name] = Unfamiliar(column.name, len(texts), unseen=unseen, missing=0 if column.optional else gone)
    return tuple(found[column.name] for column in signature.inputs)
