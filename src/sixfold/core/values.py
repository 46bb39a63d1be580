"""How one cell of text is read: the rules that training and serving share. Standard library only.

Every rule takes text without spaces around it (`str.strip`) and gives None where the text is not of its kind. A missing
token is looked up first, by whoever reads, in the tokens of the recipe and "".
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final

TRUE: Final = frozenset({"true", "yes", "t", "y", "1", "1.0"})
FALSE: Final = frozenset({"false", "no", "f", "n", "0", "0.0"})
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST_S: Final = -62135596800.0  # 0001-01-01T00:00:00Z, in seconds since 1970: dates lie in [FIRST_S, END_S)
END_S: Final = 253402300800.0  # 10000-01-01T00:00:00Z

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)  # what Python, C and ECMAScript agree on, plus the words for infinite and "not a number"
_TIME = (
    r"(?:(?:T|\s+)(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?"
)
_PLAIN = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ](?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.\d{3}(?:\d{3})?)?)?)?", re.ASCII
)  # by Python's own parser: the same values, measured twice as fast; every version of Python reads these alike
_DAY = r"(?P<day>\d{1,2})"
_NAMED = r"(?P<name>[a-z]{3,9})"
_YEAR = r"(?P<year>\d{4})"
_DATES: Final = tuple(
    re.compile(form + _TIME, re.ASCII | re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",  # 2026-11-23
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",  # 20261123
        rf"{_YEAR}/(?P<month>\d{{1,2}})/{_DAY}",  # 2026/11/23
        rf"{_DAY}\.(?P<month>\d{{1,2}})\.{_YEAR}",  # 23.11.2026
        rf"{_DAY}[ -]{_NAMED}\.?,?[ -]{_YEAR}",  # 23 Nov 2026, 23-Nov-2026
        rf"{_NAMED}\.? {_DAY},? {_YEAR}",  # November 23, 2026
    )
)
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


def number(text: str) -> float | None:
    """A decimal number. "nan" gives NaN (missing), "inf" and what is too large give an infinite: the caller refuses it.

    >>> number("-1.5e3"), number("1_000"), number("1,5")
    (-1500.0, None, None)
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def boolean(text: str) -> bool | None:
    """true, yes, t, y, 1 and false, no, f, n, 0, in any case.

    >>> boolean("Yes"), boolean("0"), boolean("2")
    (True, False, None)
    """
    low = text.lower()
    return True if low in TRUE else False if low in FALSE else None


def date(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or moment, or of a common form; without a zone it is UTC.

    Fractions of a second are cut to microseconds. 11/23/2026 and 23/11/2026 are not read: nobody knows which is meant.

    >>> date("1970-01-02"), date("2.1.1970 00:00:01+00:00"), date("Jan 2, 1970"), date("01/02/1970")
    (86400.0, 86401.0, 86400.0, None)
    """
    if not 8 <= len(text) <= 50:  # bounds what a hostile cell can cost
        return None
    if _PLAIN.fullmatch(text):
        try:
            return seconds(dt.datetime.fromisoformat(text))
        except ValueError:
            return None
    for form in _DATES:
        if match := form.fullmatch(text):
            return _moment(match.groupdict())
    return None


def seconds(moment: dt.datetime) -> float:
    """Seconds since 1970; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    return (aware - EPOCH).total_seconds()


def show_number(value: float) -> str:
    """A number as text: whole ones without '.0', others so that they read back to the same bits.

    >>> show_number(3.0), show_number(0.1), show_number(-0.0)
    ('3', '0.1', '-0.0')
    """
    whole = value.is_integer() and abs(value) < 2**63 and (value != 0 or str(value) == "0.0")
    return str(int(value)) if whole else repr(value)


def show(value: str | float | bool | dt.date) -> str:
    """A plain value as the text of a category: True is 'True', 3.0 is '3'.

    >>> show(True), show(2.0), show("a")
    ('True', '2', 'a')
    """
    if isinstance(value, str | bool | dt.date):
        return str(value)
    if isinstance(value, int) and abs(value) > 10**308:
        return str(value)
    return show_number(float(value))  # of whole numbers beyond 2**53 the nearest: what a JSON number becomes elsewhere


def show_date(value_s: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC.

    >>> show_date(86400.5)
    '1970-01-02T00:00:00.500000Z'
    """
    return (EPOCH + dt.timedelta(seconds=value_s)).replace(tzinfo=None).isoformat() + "Z"


def show_day(value_s: float) -> str:
    """The same for people: to the second, and only the day where it is midnight.

    >>> show_day(86400.0), show_day(86400.5)
    ('1970-01-02', '1970-01-02T00:00:00Z')
    """
    whole = show_date(float(math.floor(value_s)))
    return whole.removesuffix("T00:00:00Z") if value_s % 86400 == 0 else whole


def _moment(parts: dict[str, str | None]) -> float | None:
    month = _month(parts["name"] or "") if "name" in parts else int(parts["month"] or 0)
    fraction = (parts["fraction"] or "0")[:6].ljust(6, "0")
    try:
        moment = dt.datetime(
            int(parts["year"] or 0), month, int(parts["day"] or 0),
            int(parts["hour"] or 0), int(parts["minute"] or 0), int(parts["second"] or 0), int(fraction),
            tzinfo=_zone(parts["zone"]),
        )  # fmt: skip
        return seconds(moment)
    except (ValueError, OverflowError):  # the 31st of a short month, 25 o'clock, a zone of a day or more
        return None


def _month(name: str) -> int:
    """1 to 12 of an English name, whole or its first three letters (or "sept"); else 0, which no date has."""
    low = name.lower()
    for number_, month in enumerate(_MONTHS, start=1):
        if low in (month, month[:3]) or (low == "sept" and month == "september"):
            return number_
    return 0


def _zone(text: str | None) -> dt.tzinfo:
    if text is None or text in "Zz":
        return dt.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)
