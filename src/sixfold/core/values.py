"""How one value is read, and written: the rules that training and serving share. Standard library
only.

A value is the same whichever way it comes: as text, or as an object of Python, NumPy or pandas.
`spell` gives the text that an object has in a CSV; every rule takes such text, without spaces
around it (`str.strip`), and gives None where it is not of its kind. A missing token is looked up
first, by whoever reads, in the tokens of the recipe and "".
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, runtime_checkable

LevelType = Literal["text", "number", "boolean", "date"]

TRUE: Final = frozenset({"true", "yes", "t", "y", "1", "1.0"})
FALSE: Final = frozenset({"false", "no", "f", "n", "0", "0.0"})
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST_S: Final = (
    -62135596800.0
)  # 0001-01-01T00:00:00Z, in seconds since 1970: dates lie in [FIRST_S, END_S)
END_S: Final = 253402300800.0  # 10000-01-01T00:00:00Z

_NUMBER = re.compile(
    r"[+\-\u2212]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)",
    re.ASCII | re.IGNORECASE,
)  # what Python, C and ECMAScript agree on, plus the minus of typesetters and the words for infinite and "not a number"
_DURATION = re.compile(
    r"(?P<days>-?\d{1,9}) days?(?:,? (?P<sign>[+-]?)(?P<hours>\d{1,2}):(?P<minutes>\d\d):(?P<seconds>\d\d)"
    r"(?:\.(?P<fraction>\d{1,9}))?)?",
    re.ASCII,
)  # how pandas and Python write a timedelta of a day or more; pandas writes "0 days" too
_WHOLE = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_FLOAT = re.compile(r"(?P<mantissa>-?\d+(?:\.\d+)?)(?P<power>e[+-]\d\d+)?", re.ASCII)
_TIME = (
    r"(?:(?:T|\s+)(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
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
        rf"{_YEAR}-(?P<month>\d{{1,2}})-{_DAY}",  # 2026-11-23, 2026-1-5
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",  # 20261123
        rf"{_YEAR}/(?P<month>\d{{1,2}})/{_DAY}",  # 2026/11/23
        rf"{_DAY}\.(?P<month>\d{{1,2}})\.{_YEAR}",  # 23.11.2026
        rf"{_DAY}[ -]{_NAMED}\.?,?[ -]{_YEAR}",  # 23 Nov 2026, 23-Nov-2026
        rf"{_NAMED}\.? {_DAY},? {_YEAR}",  # November 23, 2026
    )
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]|$)", re.ASCII)
SPELLED: Final = frozenset(
    {"Interval", "Period", "UUID"}
)  # types of other packages whose text is what a CSV holds
LARGEST_BITS: Final = (
    4096  # of a whole number: Python refuses to write one of more than 4,300 digits
)
LONGEST_WHOLE: Final = 1234  # digits of such a number
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def number(text: str) -> float | None:
    """A decimal number, or the seconds of a duration as pandas writes it. "nan" gives NaN
    (missing), "inf" and what is too large give an infinite: the caller refuses it.

    >>> number("-1.5e3"), number("1_000"), number("1,5"), number("1 days 00:00:02")
    (-1500.0, None, None, 86402.0)
    """
    if _NUMBER.fullmatch(text):
        return float(text.replace("\u2212", "-", 1))
    return duration(text) if "day" in text else None


def duration(text: str) -> float | None:
    """Seconds, to microseconds, of a timedelta as pandas and Python write it.

    >>> duration("1 days 00:00:02.5"), duration("-1 day, 23:00:00"), duration("2 hours")
    (86402.5, -3600.0, None)
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    clock = dt.timedelta(
        hours=int(match["hours"] or 0),
        minutes=int(match["minutes"] or 0),
        seconds=int(match["seconds"] or 0),
        microseconds=int((match["fraction"] or "0")[:6].ljust(6, "0")),
    )
    days = dt.timedelta(days=int(match["days"]))
    return (days - clock if match["sign"] == "-" else days + clock).total_seconds()


def boolean(text: str) -> bool | None:
    """true, yes, t, y, 1 and false, no, f, n, 0, in any case.

    >>> boolean("Yes"), boolean("0"), boolean("2")
    (True, False, None)
    """
    low = text.lower()
    return low in TRUE if low in TRUE | FALSE else None


def date(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or moment, or of a common form; without a zone it is
    UTC.

    Fractions of a second are cut to microseconds. 11/23/2026 and 23/11/2026 are not read: nobody
    knows which is meant.

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


def moment(text: str) -> float | None:
    """Seconds since 1970 of what a column of dates may hold: a date, also as the whole number
    20261123, or those seconds.

    >>> moment("19700102"), moment("19700102.0"), moment("86400"), moment("soon")
    (86400.0, 86400.0, 86400.0, None)
    """
    found = date(text)
    if found is None and (value := number(text)) is not None:
        found = date(_plain_number(text) or "")
        if found is None and FIRST_S <= value < END_S:
            found = value
    return found


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


@runtime_checkable
class Shaped(Protocol):
    """As NumPy's arrays and numbers are: () of a single value."""

    shape: tuple[int, ...]


def spell(value: Any) -> str | None:
    """The text of a value of Python, NumPy or pandas, as it stands in a CSV; '' for None and
    whatever does not equal itself (NaN, NaT). None for an object that is no single value.

    >>> spell(True), spell(2), spell(2.0), spell(0.1), spell("a"), spell(dt.date(2026, 11, 23)), spell([1])
    ('True', '2', '2.0', '0.1', 'a', '2026-11-23', None)
    """
    if value is None or is_missing(value):
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | dt.date | dt.time | Decimal):
        return str(value)
    if isinstance(value, dt.timedelta):
        return _spell_duration(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= LARGEST_BITS else None
    if isinstance(value, float):
        return _spell_float(float(value))
    if (
        type(value).__module__.partition(".")[0] == "numpy"
        and isinstance(value, Shaped)
        and value.shape == ()
    ):
        return _spell_numpy(value)
    return str(value) if type(value).__name__ in SPELLED else None


def is_missing(value: Any) -> bool:
    """NaN, pandas' NaT and NA: the objects that do not equal themselves."""
    try:
        return bool(value != value)
    except (
        TypeError,
        ValueError,
    ):  # pandas.NA refuses to be true or false; an array is no single value
        return type(value).__name__ in ("NAType", "NaTType")


def level_type(texts: Iterable[str]) -> LevelType:
    """What the levels of a category are: numbers, booleans or dates where every text is a plain
    writing of one.

    Plain writings of a number are whole numbers without leading zeros, and what a column of floats
    writes.

    >>> level_type(["1", "2.0"]), level_type(["01", "2"]), level_type(["True", "false"]), level_type(["2026-11-23"])
    ('number', 'text', 'boolean', 'date')
    """
    texts = list(texts)
    for kind in ("number", "boolean", "date"):
        if texts and all(_PLAIN_WRITING[kind](text) is not None for text in texts):
            return kind
    return "text"


def level(text: str, kind: LevelType) -> str:
    """The level that a text means: of numbers, booleans and dates one writing for all; other text
    as it stands.

    >>> level("1.0", "number"), level("1", "number"), level("1.0", "text"), level("TRUE", "boolean"), level("v2", "number")
    ('1', '1', '1.0', 'True', 'v2')
    """
    if kind == "text":
        return text
    written = _PLAIN_WRITING[kind](text)
    if written is None and kind == "boolean" and boolean(text) is not None:
        return str(boolean(text))
    return text if written is None else written


def typed(text: str, kind: LevelType) -> str | int | float | bool:
    """A level as the value that it is; dates stay text.

    >>> typed("1", "number"), typed("0.5", "number"), typed("True", "boolean"), typed("1", "text")
    (1, 0.5, True, '1')
    """
    if kind == "boolean":
        return text == "True"
    if kind == "number":
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    return text


def _plain_number(text: str) -> str | None:
    """The one writing of a number that is written plainly: a whole one without point, others with
    the fewest digits.
    """
    if _WHOLE.fullmatch(text):
        return text if len(text) < LONGEST_WHOLE else None
    match = _FLOAT.fullmatch(text) if len(text) <= 25 else None
    if match is None or math.isinf(float(text)):
        return None
    value = float(text)
    fewest = (
        repr(float(match["mantissa"])).removesuffix(".0") == match["mantissa"]
    )  # NumPy's float32: 1e+06
    if repr(value) != text and not (match["power"] and fewest):
        return None
    return str(int(value)) if value.is_integer() else _spell_float(value)


def _plain_boolean(text: str) -> str | None:
    return {"true": "True", "false": "False"}.get(text.lower())


def _plain_date(text: str) -> str | None:
    """The moment of an ISO 8601 date, in UTC: the day alone at midnight."""
    if not _ISO.match(text):
        return None
    moment_s = date(text)
    return None if moment_s is None else show_date(moment_s).removesuffix("T00:00:00Z")


def _spell_float(value: float) -> str:
    """The fewest digits that read back to the same number. Of a number that single precision holds,
    those that read back to it there: 0.1 has been 0.10000000149011612 since it was stored as
    float32, and is written 0.1.
    """
    if value.is_integer() or math.isinf(value) or len(repr(value)) < 10:
        return repr(value)
    try:
        single = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return repr(value)
    if single != value:
        return repr(value)
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == value:
            return repr(float(text))
    return repr(float(f"{value:.9g}"))


def _spell_numpy(value: Any) -> str | None:
    """A NumPy scalar: times in any unit to microseconds, the others as Python's own."""
    if value.dtype.kind == "M":
        return spell(value.astype("datetime64[us]").item())
    if value.dtype.kind == "m":
        return spell(value.astype("timedelta64[us]").item())
    if value.dtype.kind == "f" and value.dtype.itemsize == 2:
        return repr(float(str(value)))
    return spell(value.item()) if value.dtype.kind in "biufU" else None


def _spell_duration(value: dt.timedelta) -> str:
    """As pandas writes it: '1 days 02:00:00'."""
    hours, rest = divmod(value.seconds, 3600)
    micro = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"{value.days} days {'+' if value.days < 0 else ''}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{micro}"


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
            int(parts["year"] or 0),
            month,
            int(parts["day"] or 0),
            int(parts["hour"] or 0),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            int(fraction),
            tzinfo=_zone(parts["zone"]),
        )
        return seconds(moment)
    except (
        ValueError,
        OverflowError,
    ):  # the 31st of a short month, 25 o'clock, a zone of a day or more
        return None


def _month(name: str) -> int:
    """1 to 12 of an English name, whole or its first three letters (or "sept"); else 0, which no
    date has.
    """
    low = name.lower()
    for number_, month in enumerate(_MONTHS, start=1):
        if low in (month, month[:3]) or (low == "sept" and month == "september"):
            return number_
    return 0


def _zone(text: str | None) -> dt.tzinfo:
    if text is None or text.upper() in ("Z", "UTC", "GMT"):
        return dt.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)


_PLAIN_WRITING: Final = {"number": _plain_number, "boolean": _plain_boolean, "date": _plain_date}
