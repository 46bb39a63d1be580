"""One raw value of a row, as text or as an object, to what the graph takes: a float or a string.

Values are read by the rules of `core.values`, which training reads its tables by: an object is the
value that its text is. Every reader raises CellError with what was expected; the front end adds the
row and the column.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, Final

from sixfold.bundle.modality_reader import Cell, CellError, reader_of, text_of
from sixfold.core import values
from sixfold.core.marks import NumberFormat
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import Input

NAN: Final = float("nan")
LONGEST_UNSEEN: Final = (
    200  # characters that are held of a category without such a level: all are one to the model
)


def reader(column: Input, missing: frozenset[str]) -> Cell:
    """From a raw value of a column to a float (NaN is missing); of a category to a string ('' is
    missing); of another modality as its reader says.

    `missing`: tokens, "" among them.
    """
    if column.type == "category":
        return _category(column, missing)
    if column.type not in PLAIN_KINDS:
        return reader_of(column.type).cell(missing)
    if column.type == "date":
        return lambda value: _date(value, missing)
    if column.type == "boolean":
        return lambda value: _boolean(value, missing)
    gone, marks = (
        missing_numbers(missing),
        column.read.format() if column.read is not None else None,
    )
    if not gone:
        return lambda value: _number(value, missing, marks)

    def without(value: Any) -> float:
        number = _number(value, missing, marks)
        return NAN if number in gone else number

    return without


def missing_numbers(missing: frozenset[str]) -> frozenset[float]:
    """The tokens that are numbers: a value equal to one is missing, however it is written."""
    found = (values.number(token) for token in missing)
    return frozenset(number for number in found if number is not None and math.isfinite(number))


def _number(value: Any, missing: frozenset[str], marks: NumberFormat | None = None) -> float:
    """`marks`: those of a number that comes as text; another object needs none."""
    if value is None or (isinstance(value, float | int) and not isinstance(value, bool)):
        return _finite(value)
    text = text_of(value, "a number")
    rule = marks.number if marks is not None and isinstance(value, str) else values.number
    if text in missing:
        return NAN
    number = rule(text)
    if number is None:
        raise CellError("a number")
    return _finite(number)


def _finite(number: float | None) -> float:
    try:
        found = NAN if number is None else float(number)
    except OverflowError:
        raise CellError("a number") from None
    if math.isinf(found):
        raise CellError("a finite number")
    return found


def _boolean(value: Any, missing: frozenset[str]) -> float:
    if type(value) is bool:
        return float(value)
    text = text_of(value, "true or false")
    if text in missing:
        return NAN
    truth = values.boolean(text)
    if truth is None:
        raise CellError("true or false")
    return float(truth)


def _date(value: Any, missing: frozenset[str]) -> float:
    if type(value) is dt.datetime:
        return values.seconds(value)
    if isinstance(value, bool | dt.timedelta | dt.time):
        raise CellError("a date, or seconds since 1970")
    text = text_of(value, "a date, or seconds since 1970")
    if text in missing:
        return NAN
    moment_s = values.moment(text)
    if moment_s is None:
        if values.number(text) is not None:
            raise CellError("seconds since 1970 of a year from 1 to 9999")
        raise CellError("a date such as 2026-11-23 or 2026-11-23T15:20:00Z")
    return moment_s


def _category(column: Input, missing: frozenset[str]) -> Callable[[Any], str]:
    """The level that a value means; one that was never seen is as it is written, or its beginning,
    which no level is either.
    """
    kind, known = column.level_type, {level: level for level in column.levels}
    gone = missing | {values.level(token, kind) for token in missing}
    longest = max([LONGEST_UNSEEN, *map(len, known)]) + 1

    def read(value: Any) -> str:
        if type(value) is str:
            text = value.strip()
            level = known.get(text)
            if level is not None:
                return level  # and not the text, of which there would be one a row
            _check_utf8(text)
        else:
            text = text_of(value, "text")
        level = values.level(text, kind)
        return "" if level in gone or text in gone else level[:longest]

    return read


def _check_utf8(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CellError("text that UTF-8 can hold") from None
