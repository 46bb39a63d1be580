"""Columns that only number the rows. In a sorted table a row number knows the target; a new row has
none that means anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from sixfold.parts.table import Column, FloatArray
from sixfold.recipe.schema import Data

LEAST_ROWS: Final = 20  # a shuffled 1, 2, …, n of fewer rows may be a measurement; guessed
SPREAD: Final = 2.0  # distinct whole numbers within this many times the rows: numbers of rows, some of which are gone; guessed
SHOWN: Final = 5  # columns named in a sentence
_INDEX = re.compile(
    r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__"
)  # what pandas and Arrow call an index without a name
_TIME = re.compile(
    r"(.*[^a-z])?(year|quarter|month|week|day|date|hour|minute|second|time|epoch)s?([^a-z].*)?",
    re.IGNORECASE,
)


class FoundRowNumbers(NamedTuple):
    """`columns`: left out. `notes`, `warnings`: about these, and about columns that nearly are row
    numbers.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def find(columns: Mapping[str, Column], data: Data, nameless: str | None = None) -> FoundRowNumbers:
    """The columns of `columns` that number the rows, by their values: n whole numbers in a row, in
    any order.

    A column of `data.types` is kept; so is one that is named after a unit of time and begins
    neither at 0 nor at 1 (years), and the only column there is. `nameless`: a column whose name in
    the file is empty, as an index is written.
    """
    spans = _spans(columns, data)
    numbers = {
        name for name, span in spans.items() if span.in_a_row and not _is_time(name, span.first)
    }
    index = {name for name in spans if _INDEX.fullmatch(name) or name == nameless} - numbers
    left_out = [name for name in columns if name in numbers | index]
    warnings = [_gaps(name) for name, span in spans.items() if span.nearly and name not in index]
    if left_out and len(left_out) == len(columns):
        warnings.append(
            f"{_names(left_out)}: row numbers by their values, but there is no other column to predict from."
        )
        return FoundRowNumbers((), (), tuple(warnings))
    notes = []
    for name in left_out:
        what = f"{'the index of a DataFrame' if name in index else 'a row number'}: {_called(name, nameless)}"
        notes.append(f"Not used, as {what}, {spans[name]}.{_orders(name, data)} {_keeps(name)}")
    kept = [name for name, span in spans.items() if span.in_a_row and name not in numbers | index]
    notes += [
        f"{name}: numbers in a row, kept as a measure of time (data.drop leaves it out)."
        for name in kept
    ]
    return FoundRowNumbers(tuple(left_out), tuple(notes), tuple(warnings))


class _Span(NamedTuple):
    """Of whole numbers, none missing. `in_a_row`: each from first to last once; `nearly`: some are
    gone.
    """

    first: float
    last: float
    in_a_row: bool
    nearly: bool

    def __str__(self) -> str:
        return f"{self.first:.0f} to {self.last:.0f}"


def _span(values: FloatArray) -> _Span | None:
    """None for what cannot be an index: a missing value, or a fraction."""
    rows = len(values)
    if not rows or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return None
    first, last = float(values.min()), float(values.max())
    width = last - first + 1
    counted = (
        rows >= LEAST_ROWS and rows <= width < SPREAD * rows and len(np.unique(values)) == rows
    )
    return _Span(first, last, counted and width == rows, counted and width > rows)


def _is_time(name: str, first: float) -> bool:
    return first not in (0.0, 1.0) and _TIME.fullmatch(name) is not None


def _gaps(name: str) -> str:
    return (
        f"{name}: whole numbers that all differ, nearly in a row: perhaps numbers of rows, some of which are gone. If so, "
        f"leave it out (data.drop: [{name!r}])."
    )


def _spans(columns: Mapping[str, Column], data: Data) -> dict[str, _Span]:
    """Of the columns whose numbers could be an index, unless the recipe gives their type."""
    found = {}
    for name, column in columns.items():
        if name not in data.types and column.kind == "number":
            span = _span(column.values.astype(np.float64, copy=False))
            if span is not None:
                found[name] = span
    return found


def _orders(name: str, data: Data) -> str:
    return " It orders the rows, as data.time says; it is no feature." if name == data.time else ""


def _keeps(name: str) -> str:
    return f"(data.types: {{{name!r}: number}} keeps it.)"


def _called(name: str, nameless: str | None) -> str:
    return f"{name} (a column without a name)" if name == nameless else name


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
