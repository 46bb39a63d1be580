"""Columns of text that are nearly numbers or dates: what keeps them from being read, and what to
write into the recipe.

Nothing here is read otherwise: a column stays the category that it is, but not silently.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.core import values
from sixfold.core.marks import MINUS, SPACES, NumberFormat

Counts = npt.NDArray[np.int64]

MOST: Final = 0.5  # of the distinct texts are numbers once currencies and units are off: hardly by chance; guessed
NEARLY_ALL: Final = 0.9  # the same where commas or parentheses are all the marks: lists ("1,2") have these too; guessed
UNITS: Final = (
    5  # different words behind numbers, beyond which they are codes ("12A"), not units; guessed
)
TOKENS: Final = 3  # different texts among numbers that may all mean "missing"; guessed
NUMBERS: Final = 5  # different numbers beside a word, from which on the word is hardly one more category; guessed
SAMPLED: Final = 20_000  # distinct texts that are looked at, evenly spread
LONGEST: Final = 60  # characters of a number with its marks
MISSING: Final = frozenset(
    {
        "n.a.",
        "n.a",
        "n/a",
        "na",
        "nan",
        "nil",
        "none",
        "null",
        "unknown",
        "missing",
        "empty",
        "blank",
        "tba",
        "tbd",
        "#n/a",
        "#na",
        "#null!",
        "#div/0!",
        "#value!",
    }
)  # in lower case: words that mean nothing else; so does what has no letter and no digit
CURRENCIES: Final = frozenset(
    {
        "usd",
        "eur",
        "gbp",
        "jpy",
        "chf",
        "cny",
        "inr",
        "aud",
        "cad",
        "nzd",
        "sek",
        "nok",
        "dkk",
        "pln",
        "czk",
        "huf",
        "ron",
        "bgn",
        "try",
        "rub",
        "uah",
        "ils",
        "aed",
        "sar",
        "qar",
        "zar",
        "ngn",
        "kes",
        "egp",
        "brl",
        "mxn",
        "ars",
        "clp",
        "cop",
        "pen",
        "krw",
        "twd",
        "hkd",
        "sgd",
        "myr",
        "thb",
        "idr",
        "php",
        "vnd",
        "pkr",
        "bdt",
        "lkr",
        "rs",
        "rs.",
        "kr",
        "kr.",
        "fr.",
        "zł",
        "kč",
        "ft",
        "lei",
    }
)
SCALES: Final = frozenset(
    "kKmMbBgGtTsShHdDwWyY"
)  # single letters that are units or powers, so that rows of them differ
_DIGITS = rf"[.,]?\d(?:[\d.,'’_{SPACES}]*\d)?(?:[eE][+-]?\d+)?"
_SIGN = rf"[+\-{MINUS}]"
_WORD = rf"[^\d\s()+\-{MINUS}.,'’_](?:[^\d()+\-{MINUS}]*[^\d()+\-{MINUS}\s])?"
_WRITTEN = re.compile(
    rf"(?P<open>\()?{_SIGN}?\s*(?P<before>{_WORD})?\s*{_SIGN}?(?P<inner>\()?\s*(?P<body>{_DIGITS})\s*(?P<after>{_WORD})?"
    rf"(?P<behind>\s*[-{MINUS}])?(?P<close>\))?"
)
_FORMATS: Final = (
    (".", ""),
    (".", ","),
    (",", ""),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
    (".", "_"),
)
_TWO_WAYS: Final = (
    ((".", ","), (",", "")),
    ((".", ""), (",", ".")),
)  # 12,345 and 1.234: nobody knows
_CLOCK = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?"
_HALF = r"\s?[AaPp]\.?[Mm]\.?"
_ZONE = r"\s?(?:Z|[A-Z]{2,5}|[+-]\d{2}:?\d{2}|\[?[A-Z][a-z]+/\w+\]?)"
_TIME = rf"(?:[T\s,]\s*{_CLOCK}(?:{_HALF})?(?:{_ZONE})?)?"
_DAY = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}[T\s]"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_AS_ISO = "Write dates as 2026-11-23"
_MOMENT = "Write moments as 2026-11-23T15:20:00"
_FORMS = (
    ("a date with the day or the month first", "", rf"\d{{1,2}}[/-]\d{{1,2}}[/-]\d{{4}}{_TIME}"),
    ("a date with two digits of its year", "", rf"\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{2}}{_TIME}"),
    (
        "a time of day without a date",
        "Write it as a number, such as hours: 9.5",
        rf"{_CLOCK.replace('[:.]', ':')}(?:{_HALF})?",
    ),
    ("a time of twelve hours (AM, PM)", _MOMENT, rf"{_DAY}(?:{_CLOCK}|\d{{1,2}}){_HALF}"),
    ("a moment of a named time zone", f"{_MOMENT}+01:00", rf"{_DAY}{_CLOCK}{_ZONE}"),
    (
        "a month without a day",
        "Write it with its first day: 2026-11-01",
        rf"\d{{4}}[-/]\d{{1,2}}|{_MONTH}[ -]\d{{4}}",
    ),
    (
        "a date that names the day of the week",
        "",
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s.*\d{1,2}.*\d{4}.*",
    ),
)
DATE_FORMS: Final[tuple[tuple[str, str, re.Pattern[str]], ...]] = tuple(
    (what, remedy, re.compile(form, re.ASCII)) for what, remedy, form in _FORMS
)


@dataclass(frozen=True)
class Nearly:
    """What a column nearly is. `levels`: which of its texts show it; `found`: what such a text is,
    with the share of such cells; `remedy`: sentences, with what to write into the recipe.
    """

    levels: npt.NDArray[np.bool_]
    found: str
    remedy: str
    marks: str = ""  # of the remedy, that of this column alone: `price: {strip: ["$"]}`


def numbers(
    name: str, levels: Sequence[str], counts: Counts, missing: Sequence[str]
) -> Nearly | None:
    """Numbers written with marks, where most distinct texts are such; `missing` is the recipe's
    list of tokens.
    """
    step = max(1, len(levels) // SAMPLED)
    looked = levels[::step]
    written = [one for text in looked if (one := _split(text)) is not None]
    marked = [one for one in written if not one.is_plain]
    if not marked or len(written) < MOST * len(looked):
        return None
    units = Counter(one.after for one in marked if one.after)
    if len({unit.lower().removesuffix("s") for unit in units}) > 1:
        return _units_differ(name, levels, counts, units)
    chosen, *others = _formats(written, marked)
    read = np.array([chosen.plain(text) is not None for text in levels])
    shows = read & np.array([values.number(text) is None for text in levels])
    few = read.sum() < 2 or read.mean() < (MOST if chosen.strip else NEARLY_ALL)
    if few or not shows.any() or _ordinal(chosen.strip):
        return None
    cells, known = int(counts[read].sum()), int(counts.sum())
    found = f"a number with marks ({_marks(chosen)}), as are {cells:,} of {known:,} values ({_percent(cells, known)})"
    remedy = f"Say data.read: {_snippet(name, chosen)} to read them as numbers"
    remedy += "".join(
        f" (or {_snippet(name, other)}, if the mark is the other one)" for other in others
    )
    rest = [levels[i] for i in _tokens(levels, counts, read)]
    remedy += f", and data.missing: {_listed(rest, missing)}" if rest else ""
    remedy += f"; or data.types: {{{key(name)}: category}} if these are no numbers."
    return Nearly(shows, found, remedy, _of_column(name, chosen))


def _formats(written: Sequence[_Written], marked: Sequence[_Written]) -> list[NumberFormat]:
    """The format that reads most of the numbers; a second one where nobody knows which of the two
    is meant.
    """
    strip = tuple(dict.fromkeys(word for one in marked for word in (one.before, one.after) if word))
    accounting = any(one.accounting for one in marked)
    return [
        NumberFormat(*way, strip=strip, accounting=accounting)
        for way in _ways([one.body for one in written])
    ]


def tokens(
    name: str,
    levels: Sequence[str],
    counts: Counts,
    is_value: npt.NDArray[np.bool_],
    kind: str,
    missing: Sequence[str],
) -> Nearly | None:
    """One repeated text among numbers (or dates): it may mean that the value is missing. `kind`: of
    the others, in the plural; `missing`: the recipe's list of tokens.
    """
    found = _tokens(levels, counts, is_value)
    if not found:
        return None
    words = [levels[i] for i in found]
    cells, known = int(counts[found].sum()), int(counts.sum())
    only = (
        "the only text"
        if len(words) == 1
        else f"one of the only texts ({', '.join(map(repr, words))})"
    )
    text = f"{only} among {kind}: {cells:,} of {known:,} values ({_percent(cells, known)})"
    remedy = (
        f"If it means that the value is missing, say data.missing: {_listed(words, missing)}; or data.types: "
        f"{{{key(name)}: category}} if it does not."
    )
    return Nearly(np.isin(np.arange(len(levels)), found), text, remedy)


def dates(
    name: str, levels: Sequence[str], counts: Counts, is_date: npt.NDArray[np.bool_]
) -> Nearly | None:
    """Dates in a form that is not read, where nearly all distinct texts are dates of some form."""
    step = max(1, len(levels) // SAMPLED)
    forms = [None if is_date[i] else _form(levels[i]) for i in range(0, len(levels), step)]
    kinds = Counter(form for form in forms if form is not None)
    if not kinds or sum(kinds.values()) + is_date[::step].sum() < NEARLY_ALL * len(forms):
        return None
    chosen = kinds.most_common(1)[0][0]
    what, remedy, _ = DATE_FORMS[chosen]
    shows = np.zeros(len(levels), dtype=bool)
    shows[::step] = [form is not None for form in forms]
    cells, known = int(counts[shows].sum()), int(counts[::step].sum())
    found = f"{what}, which is not read; {cells:,} of {known:,} values ({_percent(cells, known)}) are in such forms"
    remedy = remedy or f"{_AS_ISO} (pandas.to_datetime(…, {_order(levels)}) reads such a column)"
    shows[::step] = [form == chosen for form in forms]
    return Nearly(
        shows,
        found,
        f"{remedy}; or say data.types: {{{key(name)}: category}} if these are no dates.",
    )


def key(name: str) -> str:
    """A column's name as a key in YAML."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in (
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "null",
        "y",
        "n",
    )
    return name if plain else json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True)
class _Written:
    """A number in text: its digits, and the words before and behind them."""

    body: str
    before: str
    after: str
    accounting: bool

    @property
    def is_plain(self) -> bool:
        """Without marks."""
        return (
            not (self.before or self.after or self.accounting)
            and values.number(self.body) is not None
        )


def _split(text: str) -> _Written | None:
    match = _WRITTEN.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        return None
    before, after = match["before"] or "", match["after"] or ""
    opened = bool(match["open"] or match["inner"])
    if opened is not bool(match["close"]) or not (
        _is_currency(before) or before in ("", "<", ">", "~", "≤", "≥", "≈", "<=", ">=")
    ):
        return None
    if after and not (_is_currency(after) or _is_unit(after)):
        return None
    return _Written(match["body"], before, after, opened or bool(match["behind"]))


def _is_currency(word: str) -> bool:
    return word.lower() in CURRENCIES or any(
        unicodedata.category(letter) == "Sc" for letter in word
    )


def _is_unit(word: str) -> bool:
    """A percent sign, or a word of letters with what units have besides: °C, km/h, m²."""
    return (
        len(word) <= 20
        and all(c.isalpha() or c in '%‰°"″/²³·^. ' for c in word)
        and len(word.split()) <= 3
    )


def _ordinal(strip: Sequence[str]) -> bool:
    return bool(strip) and all(mark in ("st", "nd", "rd", "th") for mark in strip)


def _ways(bodies: Sequence[str]) -> list[tuple[str, str]]:
    """(decimal, thousands) that read most of the digits; a second one where nobody knows which of
    the two is meant.
    """
    reads: dict[tuple[str, str], int] = {}
    for decimal, thousands in _FORMATS:
        rule: Callable[[str], str | None] = NumberFormat(decimal, thousands).plain
        reads[decimal, thousands] = sum(rule(body) is not None for body in bodies)
    best = max(_FORMATS, key=lambda way: reads[way])
    other = next(
        (second for first, second in _TWO_WAYS if first == best and reads[first] == reads[second]),
        None,
    )
    return (
        [best]
        if other is None or not any(mark in body for body in bodies for mark in other if mark)
        else [best, other]
    )


def _units_differ(
    name: str, levels: Sequence[str], counts: Counts, units: Counter[str]
) -> Nearly | None:
    """Numbers of several units, which no stripping makes comparable."""
    codes = any(len(unit) == 1 and unit.isalpha() and unit not in SCALES for unit in units)
    if len(units) > 2 * UNITS or codes or _ordinal(tuple(units)):
        return None
    chosen = np.array([(one := _split(text)) is not None and one.after in units for text in levels])
    if chosen.mean() < MOST:
        return None
    shown = ", ".join(f"'{unit}'" for unit, _ in units.most_common(UNITS))
    cells, known = int(counts[chosen].sum()), int(counts.sum())
    found = f"a number with a unit, as are {cells:,} of {known:,} values ({_percent(cells, known)}); the units differ ({shown})"
    remedy = f"Convert them to one unit in the file; or say data.types: {{{key(name)}: category}} if these are no numbers."
    return Nearly(chosen, found, remedy)


def _tokens(levels: Sequence[str], counts: Counts, is_value: npt.NDArray[np.bool_]) -> list[int]:
    """The levels that are no values, where they are so few and so often there that they may mean
    "missing".
    """
    odd = np.flatnonzero(~is_value).tolist()
    if not odd or len(odd) > TOKENS or is_value.sum() < 2:
        return []
    telling = [_means_missing(levels[i]) for i in odd]
    if not all(telling) and is_value.sum() < NUMBERS:
        return []
    repeated = all(counts[i] > 1 or sure for i, sure in zip(odd, telling, strict=True))
    return odd if repeated and not any(c.isdecimal() for i in odd for c in levels[i]) else []


def _means_missing(text: str) -> bool:
    return text.lower() in MISSING or not any(c.isalnum() for c in text)


def _form(text: str) -> int | None:
    """Which of DATE_FORMS a text has."""
    if len(text) > LONGEST:
        return None
    return next((i for i, (_, _, form) in enumerate(DATE_FORMS) if form.fullmatch(text)), None)


def _order(levels: Sequence[str]) -> str:
    """For pandas: which of the first two numbers is the day, where some text shows it."""
    pairs = [
        match.groups()
        for text in levels[:SAMPLED]
        if (match := re.match(r"(\d{1,2})[/.-](\d{1,2})[/.-]", text))
    ]
    if any(int(first) > 12 for first, _ in pairs):
        return "dayfirst=True"
    return "dayfirst=False" if any(int(second) > 12 for _, second in pairs) else "dayfirst=…"


def _marks(chosen: NumberFormat) -> str:
    parts = [f"'{mark}'" for mark in chosen.strip]
    parts += [f"a decimal '{chosen.decimal}'"] if chosen.decimal != "." else []
    parts += [f"'{chosen.thousands}' between thousands"] if chosen.thousands else []
    parts += ["parentheses or a minus behind it for negatives"] if chosen.accounting else []
    return ", ".join(parts)


def _snippet(name: str, chosen: NumberFormat) -> str:
    """What to write as `data.read`."""
    return f"{{columns: {{{_of_column(name, chosen)}}}}}"


def _of_column(name: str, chosen: NumberFormat) -> str:
    """The column and its marks."""
    parts = [f"decimal: {json.dumps(chosen.decimal)}"] if chosen.decimal != "." else []
    parts += [f"thousands: {json.dumps(chosen.thousands)}"] if chosen.thousands else []
    parts += (
        [f"strip: {json.dumps(list(chosen.strip), ensure_ascii=False)}"] if chosen.strip else []
    )
    parts += ["accounting: true"] if chosen.accounting and not parts else []
    return f"{key(name)}: {{{', '.join(parts)}}}"


def _listed(words: Sequence[str], missing: Sequence[str]) -> str:
    return json.dumps([*words, *missing], ensure_ascii=False)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "less than 1%" if 0 < share < 1 else f"{share:.0f}%"
