"""How far rows of a table are apart (Gower, 1971): the mean over the columns of the difference of
numbers, as a share of their range, and of 0 or 1 for anything else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain.sampling import Player
from sixfold.bundle.frontend import Feeds
from sixfold.recipe.signature import NUMBERS, Input

Floats = npt.NDArray[np.float64]


class Neighbor(NamedTuple):
    """Stored row number `row`, from 0, and how far it is, from 0 to 1."""

    row: int
    distance: float


class GowerDistance:
    """By the ranges of the stored rows; a missing value is as far from any other as can be."""

    def __init__(self, columns: Sequence[Player], background: Feeds) -> None:
        self._columns, self._background = columns, background
        self._ranges = [self._range(column) for column in columns]

    def _range(self, column: Player) -> float:
        if column.group != NUMBERS:
            return 1.0
        values = self._background[column.group][:, column.place]
        known = values[~np.isnan(values)]
        return float(np.ptp(known)) if len(known) else 0.0

    def each(self, row: Feeds, others: Feeds) -> Floats:
        """[others, columns], each from 0 to 1."""
        found = []
        for column, width in zip(self._columns, self._ranges, strict=True):
            one, other = row[column.group][0, column.place], others[column.group][:, column.place]
            if column.group != NUMBERS:
                found.append((other != one).astype(np.float64))
                continue
            apart = np.minimum(1.0, np.abs(other - one) / width if width else 1.0 * (other != one))
            both = np.isnan(other) & np.isnan(one)
            found.append(np.where(both, 0.0, np.where(np.isnan(apart), 1.0, apart)))
        return np.stack(found, axis=1)

    def nearest(self, row: Feeds, count: int) -> list[Neighbor]:
        """The stored rows that are nearest, the nearest first."""
        apart = self.each(row, self._background).mean(axis=1)
        order = np.argsort(apart, kind="stable")[:count].tolist()
        return [Neighbor(at, float(apart[at])) for at in order]


def shown_value(column: Input, value: Any) -> Any:
    """What a feed holds, as one would send it: numbers, true and false, dates, texts; None where it
    is missing.
    """
    if isinstance(value, str):
        return value or None
    number = float(value)
    if number != number:
        return None
    if column.type == "boolean":
        return bool(number)
    if column.type == "date":
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
        return moment.isoformat().replace("+00:00", "Z")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
