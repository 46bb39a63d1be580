"""One raw value of a row, as text or as a Python object, to what the graph takes: a float or a string.

Text is read by the rules of `core.values`, which training reads its tables by.
Every reader raises CellError with what was expected; the front end adds the row and the column.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, Final

from sixfold.core import values

NAN: Final = float("nan")
Cell = Callable[[Any], Any]


class CellError(ValueError):
    """The value is not what the column takes; the message says what is."""


def readers(missing: frozenset[str]) -> dict[str, Cell]:
    """Input type → function from a raw value to a float (NaN is missing); of a category to a string ('' is missing)."""
    return {
        "number": lambda value: _number(value, missing),
        "boolean": lambda value: _boolean(value, missing),
        "date": lambda value: _date(value, missing),
        "category": lambda value: _category(value, missing),
    }


def _number(value: Any, missing: frozenset[str]) -> float:
    if not isinstance(value, str):
        return _as_float(value, "a number")
    text = value.strip()
    if text in missing:
        return NAN
    number = values.number(text)
    if number is None:
        raise CellError("a number")
    if math.isinf(number):
        raise CellError("a finite number")
    return number


def _boolean(value: Any, missing: frozenset[str]) -> float:
    if isinstance(value, str):
        text = value.strip()
        if text in missing:
            return NAN
        truth = values.boolean(text)
        if truth is None:
            raise CellError("true or false")
        return float(truth)
    number = _as_float(value, "true or false")
    if number not in (0.0, 1.0) and not math.isnan(number):
        raise CellError("true or false")
    return number


def _date(value: Any, missing: frozenset[str]) -> float:
    if isinstance(value, str):
        text = value.strip()
        moment_s = NAN if text in missing else values.date(text)
        if moment_s is None:
            raise CellError("a date such as 2026-11-23 or 2026-11-23T15:20:00Z")
        return moment_s
    if value is None or _is_missing_object(value):
        return NAN
    if isinstance(value, dt.datetime):  # pandas' timestamps are datetimes
        return values.seconds(value)
    if isinstance(value, dt.date):
        return values.seconds(dt.datetime(value.year, value.month, value.day))
    if isinstance(value, bool):
        raise CellError("a date, or seconds since 1970")
    moment_s = _as_float(value, "a date, or seconds since 1970")
    if not values.FIRST_S <= moment_s < values.END_S:
        raise CellError("seconds since 1970 of a year from 1 to 9999")
    return moment_s


def _as_float(value: Any, expected: str) -> float:
    """A number of any library as a float; NaN is missing."""
    if value is None:
        return NAN
    if isinstance(value, str | bytes | list | dict | tuple):
        raise CellError(expected)
    if _is_missing_object(value):
        return NAN
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise CellError(expected) from None
    if math.isinf(number):
        raise CellError("a finite number")
    return number


def _category(value: Any, missing: frozenset[str]) -> str:
    if type(value) is str:
        text = value.strip()
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise CellError("text that UTF-8 can hold") from None
        return "" if text in missing else text
    if value is None or _is_missing_object(value):
        return ""
    if isinstance(value, bool | dt.date):
        return str(value)
    number = _as_float(value, "text")
    text = values.show_number(number)
    return "" if text in missing else text


def _is_missing_object(value: Any) -> bool:
    """NaN, pandas' NaT and NA: the objects that do not equal themselves."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA refuses to be true or false
        return type(value).__name__ in ("NAType", "NaTType")
