"""One raw value of a row, as text or as a Python object, to what the graph takes: a float or a string.

Every reader raises CellError with what was expected; the front end adds the row and the column.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, Final

NAN: Final = float("nan")
TRUE: Final = frozenset({"true", "yes", "t", "y", "1", "1.0"})
FALSE: Final = frozenset({"false", "no", "f", "n", "0", "0.0"})
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

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
    if type(value) is str:
        text = value.strip()
        if text in missing:
            return NAN
        try:
            number = float(text.replace("_", "?"))  # Python reads 1_000; other languages do not
        except ValueError:
            raise CellError("a number") from None
    elif value is None:
        return NAN
    else:
        return _as_float(value, "a number")
    if math.isinf(number):
        raise CellError("a finite number")
    return number


def _as_float(value: Any, expected: str) -> float:
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


def _boolean(value: Any, missing: frozenset[str]) -> float:
    if type(value) is bool:
        return 1.0 if value else 0.0
    if value is None:
        return NAN
    if isinstance(value, str):
        text = value.strip()
        if text in missing:
            return NAN
        low = text.lower()
        if low in TRUE or low in FALSE:
            return 1.0 if low in TRUE else 0.0
        raise CellError("true or false")
    number = _as_float(value, "true or false")
    if number not in (0.0, 1.0) and not math.isnan(number):
        raise CellError("true or false")
    return number


def _date(value: Any, missing: frozenset[str]) -> float:
    if value is None:
        return NAN
    if isinstance(value, str):
        text = value.strip()
        if text in missing:
            return NAN
        try:
            return _seconds(dt.datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            raise CellError("a date such as 2026-11-23 or 2026-11-23T15:20:00Z") from None
    if _is_missing_object(value):
        return NAN
    if isinstance(value, dt.datetime):  # pandas' timestamps are datetimes
        return _seconds(value)
    if isinstance(value, dt.date):
        return _seconds(dt.datetime(value.year, value.month, value.day))
    if isinstance(value, bool):
        raise CellError("a date, or seconds since 1970")
    return _as_float(value, "a date, or seconds since 1970")


def _seconds(moment: dt.datetime) -> float:
    """Seconds since 1970; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    return (aware - EPOCH).total_seconds()


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
    text = str(int(number)) if number.is_integer() and abs(number) < 2**63 else repr(number)
    return "" if text in missing else text


def _is_missing_object(value: Any) -> bool:
    """NaN, pandas' NaT and NA: the objects that do not equal themselves."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA refuses to be true or false
        return type(value).__name__ in ("NAType", "NaTType")
