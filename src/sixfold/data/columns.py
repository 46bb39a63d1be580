"""From a source's columns, text or typed, to Columns: which kind each is, and what has to be said
about it.

Text is read by the rules of `core.values`. Numbers take a vectorized way where it gives the same (a
test compares them); everything else applies the rules to the distinct texts of a column.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.core.marks import NumberFormat
from sixfold.core.values import LevelType
from sixfold.data import nearly
from sixfold.data.nearly import Nearly
from sixfold.parts.modality import RawColumn, every_modality, is_modality, modality_of
from sixfold.parts.table import Column, ColumnKind, FloatArray

Codes = npt.NDArray[np.int32]

MIXED_SHARE: Final = (
    0.9  # of the cells are numbers (or dates): the others are more likely mistakes; guessed
)
DISTINCT_SHARE: Final = 0.95  # of the cells differ: an identifier; guessed
DISTINCT_ROWS: Final = 20  # fewer cells say nothing about that; guessed
MANY_LEVELS: Final = 1000  # of a category, from which on it is warned about; guessed
PAIRS: Final = tuple(map(frozenset, (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))))
LOOK: Final = 1000  # distinct texts that are looked at to rule out a kind
SAMPLED: Final = 10_000  # distinct texts beyond which a kind may be ruled out that way; guessed
_IDENTIFIER = re.compile(
    r"(?:.*[^a-zA-Z])?(?:[iI][dD]|(?i:ids|uuid|guid|key|index|rowid|row_?number))|.*[a-z]I[dD]"
)  # id, customer_id, customerId; not paid


@dataclass(frozen=True)
class Reading:
    """How a column is read: `missing` tokens ("" among them), and the place of a row for messages.

    `listed`: the tokens as the recipe lists them; `format`: the marks of the column's numbers,
    where data.read names any.
    """

    missing: frozenset[str]
    where: str
    place: Callable[[int], str]
    listed: tuple[str, ...] = ()
    format: NumberFormat | None = None

    @cached_property
    def missing_numbers(self) -> list[float]:
        """The tokens that are numbers: a value equal to one is missing, however it is written."""
        found = (values.number(token) for token in self.missing)
        return sorted(number for number in found if number is not None and np.isfinite(number))

    def without_missing(self, numbers: FloatArray) -> FloatArray:
        """NaN where a number is one of the missing tokens."""
        gone = np.isin(numbers, self.missing_numbers) if self.missing_numbers else None
        return numbers if gone is None or not gone.any() else np.where(gone, np.nan, numbers)

    def at(self, row: int, name: str) -> str:
        """ "a.csv, line 17, column 'age'" """
        return f"{self.where}, {self.place(row)}, column '{name}'"

    def number(self, text: str) -> float | None:
        """A number of this column; None for other text."""
        return values.number(text) if self.format is None else self.format.number(text)


@dataclass(frozen=True)
class Read:
    """One column read. `tokens`: the missing tokens in it; `whole`: only numbers, all of them
    whole; `mixed`: nearly all are numbers (or dates), so that the others look like mistakes;
    `rule`: how levels are compared, where that needs saying; `marks`: what data.read.columns would
    say to make numbers of it; `why`: why it is of its modality.
    """

    column: Column
    tokens: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    whole: bool = False
    mixed: bool = False
    rule: str = ""
    marks: str = ""
    why: str = ""

    @property
    def empty(self) -> bool:
        """No value at all."""
        return bool(self.column.missing().all())


@dataclass(frozen=True)
class Texts:
    """A column by its distinct values as text: sorted, without spaces around; code -1 is missing.
    `token_rows`: rows of each missing token; `merged`: the first texts that are one level.
    """

    levels: tuple[str, ...]
    codes: Codes
    token_rows: Mapping[str, int]
    level_type: LevelType = "text"
    merged: tuple[str, ...] = ()

    @property
    def tokens(self) -> frozenset[str]:
        """The missing tokens in it."""
        return frozenset(self.token_rows)

    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of each level."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.levels))

    def first(self, wanted: npt.NDArray[np.bool_]) -> int:
        """The first row whose level is wanted."""
        return int(np.argmax(np.append(wanted, False)[self.codes]))

    def column(self, kind: ColumnKind) -> Column:
        """As codes."""
        return Column(kind, self.codes, self.levels, self.level_type)

    def raw(self, name: str, reading: Reading) -> RawColumn:
        """As a modality looks at it."""
        return RawColumn(
            name, self.levels, self.codes, reading.where, lambda row: reading.at(row, name)
        )

    def rule(self) -> str:
        """How levels are compared, where that needs saying; ''."""
        if self.level_type != "text":
            merged = f" ({' and '.join(map(shown, self.merged))} are one)" if self.merged else ""
            return f"{self.level_type}s, whichever way they are written{merged}"
        numbers = sum(
            values.number(text) is not None and "day" not in text for text in self.levels[:LOOK]
        )
        odd = next((text for text in self.levels if values.level_type([text]) != "number"), None)
        if odd is None or 2 * numbers < min(LOOK, len(self.levels)):
            return ""
        return f"texts, compared as they stand, since {shown(odd)} is no plain number"


def read(name: str, raw: pa.ChunkedArray, asked: ColumnKind | None, reading: Reading) -> Read:
    """One column, of the kind that was asked for or else detected on all of its rows. Raises
    DataError.
    """
    asked = asked or ("category" if pa.types.is_dictionary(raw.type) else None)
    raw = _decoded(raw)
    kind = raw.type
    if is_text(kind):
        return _from_text(name, raw, asked, reading)
    if pa.types.is_null(kind):
        return Read(Column(asked or "number", np.full(len(raw), np.nan)))
    return _from_typed(name, raw, asked, reading)


def texts(name: str, raw: pa.ChunkedArray, reading: Reading) -> Texts:
    """Any column as text as it stands: typed values as `core.values.spell` writes them. Raises
    DataError for nested values.
    """
    raw = _decoded(raw)
    if pa.types.is_null(raw.type):
        raw = raw.cast(pa.string())
    _check_type(name, raw.type, reading)
    half = pa.types.is_float16(raw.type)
    raw = raw.cast(pa.float32()) if half else raw
    whole = (
        raw.cast(pa.large_string()) if is_text(raw.type) else raw
    )  # more than 2 GiB of text in one piece
    encoded = (
        whole.combine_chunks().dictionary_encode()
    )  # unify_dictionaries on 80 chunks, measured: 70 times as long
    held = encoded.dictionary.to_pylist()
    held = list(np.array(held, dtype=np.float16)) if half else held
    codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int32)
    stripped = [(values.spell(value) or "").strip() for value in held]
    levels = sorted({text for text in stripped if text not in reading.missing})
    position = {text: i for i, text in enumerate(levels)}
    renamed = np.array([*(position.get(text, -1) for text in stripped), -1], dtype=np.int32)
    rows = np.bincount(codes + 1, minlength=len(held) + 1).tolist()  # the first counts null
    tokens = Counter({"": rows[0]} if rows[0] else {})
    for text, count in zip(stripped, rows[1:], strict=True):
        if text in reading.missing:
            tokens[text] += count
    return Texts(tuple(levels), renamed[codes], tokens)


def levels_of(held: Texts, reading: Reading) -> Texts:
    """The levels of a category that its texts mean (`core.values.level_type`)."""
    kind = values.level_type(held.levels)
    if kind == "text":
        return held
    missing = {values.level(token, kind) for token in reading.missing}
    meant = [values.level(text, kind) for text in held.levels]
    levels = sorted(set(meant) - missing)
    position = {text: i for i, text in enumerate(levels)}
    renamed = np.array([*(position.get(text, -1) for text in meant), -1], dtype=np.int32)
    texts: dict[str, list[str]] = {}
    for text, level in zip(held.levels, meant, strict=True):
        texts.setdefault(level, []).append(text)
    merged = next((tuple(group) for group in texts.values() if len(group) > 1), ())
    return Texts(tuple(levels), renamed[held.codes], held.token_rows, kind, merged)


def is_text(kind: pa.DataType) -> bool:
    """Text, however long."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _decoded(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in a type that Arrow's functions take."""
    if pa.types.is_dictionary(raw.type):
        raw = raw.cast(raw.type.value_type)
    return raw.cast(pa.large_string()) if pa.types.is_string_view(raw.type) else raw


def _from_text(name: str, raw: pa.ChunkedArray, asked: ColumnKind | None, reading: Reading) -> Read:
    if asked in (None, "number") and reading.format is None:
        fast = _fast_numbers(raw, reading)
        if fast is not None:
            return _as_identifier(name, fast) if asked is None else fast
    if asked in ("category", "identifier"):
        return _category(name, levels_of(texts(name, raw, reading), reading), asked)
    held = texts(name, raw, reading)
    if asked is not None and is_modality(asked):
        return _of_modality(asked, name, held, reading)
    if asked is None:
        return _recognized(name, held, reading, first=True) or _detected(name, held, reading)
    return _parsed(name, held, asked, reading)


def _recognized(name: str, held: Texts, reading: Reading, first: bool) -> Read | None:
    """By the first modality that knows the column as its own: of those that are looked at before
    numbers and dates are tried, or of the others.
    """
    raw = held.raw(name, reading)
    for kind, modality in every_modality():
        if modality.looked_at_first == first and (why := modality.why(raw)):
            return replace(_of_modality(kind, name, held, reading), why=why)
    return None


def _of_modality(kind: ColumnKind, name: str, held: Texts, reading: Reading) -> Read:
    return Read(modality_of(kind).column(held.raw(name, reading)), held.tokens)


def _fast_numbers(raw: pa.ChunkedArray, reading: Reading) -> Read | None:
    """Numbers by Arrow's own parser, or None where the rules of `core.values` have to decide."""
    trimmed = pc.ascii_trim_whitespace(raw)
    missing = pc.is_in(trimmed, value_set=pa.array(sorted(reading.missing), raw.type))
    try:
        numbers = pc.cast(pc.if_else(missing, pa.scalar(None, raw.type), trimmed), pa.float64())
    except pa.ArrowInvalid:
        return None
    column = _floats(numbers)
    known = column[~np.isnan(column)]
    if len(known) + numbers.null_count != len(column) or np.isinf(known).any() or not len(known):
        return None
    used = pc.unique(trimmed.filter(missing)).to_pylist()
    tokens = frozenset(used) | ({""} if raw.null_count else frozenset())
    column = reading.without_missing(column)
    return Read(Column("number", column), frozenset(tokens), whole=_is_whole(column))


def _detected(name: str, held: Texts, reading: Reading) -> Read:
    """The kind of a column of text that is not simply numbers."""
    counts = held.counts()
    known = int(counts.sum())
    if known == 0:
        return Read(Column("number", np.full(len(held.codes), np.nan)), held.tokens)
    numbers = _tried(reading.number, held.levels)
    if numbers is not None and None not in numbers:
        return _as_identifier(name, _parsed(name, held, "number", reading, numbers))
    if _are_a_pair(held.levels):
        return _parsed(name, held, "boolean", reading)
    dates = _tried(values.date, held.levels)
    if dates is not None and None not in dates:
        return _parsed(name, held, "date", reading, dates)
    if (near := _nearly(name, held, numbers, dates, reading)) is not None:
        row = held.first(near.levels)
        text = f"{reading.at(row, name)}: {shown(held.levels[held.codes[row]])} is {near.found}, so the column "
        told = f"{text}is read as a category. {near.remedy}"
        return Read(held.column("category"), held.tokens, (told,), mixed=True, marks=near.marks)
    for kind, parsed in (("numbers", numbers), ("dates", dates)):
        odd = np.array([value is None for value in parsed or (None,) * len(counts)])
        if counts[~odd].sum() >= MIXED_SHARE * known:
            return _mixed(name, held, kind, odd, reading)
    return _distinct(name, held, reading) or _category(name, levels_of(held, reading), "category")


def _distinct(name: str, held: Texts, reading: Reading) -> Read | None:
    """Sentences are text; few words, nearly all different, identify a row; None for a category."""
    if found := _recognized(name, held, reading, first=False):
        return found
    known = int(held.counts().sum())
    if known >= DISTINCT_ROWS and len(held.levels) >= DISTINCT_SHARE * known:
        return Read(held.column("identifier"), held.tokens)
    return None


def _are_a_pair(levels: tuple[str, ...]) -> bool:
    """Two words for true and false that belong together, and no third; f and y are codes, as are n
    and t.
    """
    low = frozenset(text.lower() for text in levels)
    return low in PAIRS


def _tried(
    rule: Callable[[str], float | None], levels: tuple[str, ...]
) -> list[float | None] | None:
    """Each level by the rule; None when there are many and of LOOK taken evenly not even half
    follow it.
    """
    if len(levels) > SAMPLED:
        looked = levels[:: len(levels) // LOOK]
        if 2 * sum(rule(text) is not None for text in looked) < len(looked):
            return None
    return [rule(text) for text in levels]


def _mixed(name: str, held: Texts, kind: str, odd: npt.NDArray[np.bool_], reading: Reading) -> Read:
    """A column of numbers (or dates) in which some cells are not: a category, with a loud
    warning.
    """
    row = held.first(odd)
    cells = int(held.counts()[odd].sum())
    one = kind.removesuffix("s")
    are = f"is no {one}" if cells == 1 else f"are no {kind}"
    example = shown(held.levels[held.codes[row]])
    text = (
        f"{reading.at(row, name)}: {example} among {kind}; {cells:,} of {int(held.counts().sum()):,} values {are}, "
        f"so the whole column is read as a category. Correct the file, add the text to data.missing, or say "
        f"data.types: {{{name}: {one}}} to make this an error."
    )
    return Read(held.column("category"), held.tokens, (text,), mixed=True)


Parsed = Sequence[float | None] | None


def _nearly(
    name: str, held: Texts, numbers: Parsed, dates: Parsed, reading: Reading
) -> Nearly | None:
    """What keeps a column from being numbers or dates, where little does; `numbers`, `dates`: each
    level by these rules.
    """
    levels, counts = held.levels, held.counts()
    for kind, found in (("numbers", numbers), ("dates", dates)):
        if found is not None:
            is_value = np.array([value is not None for value in found])
            if near := nearly.tokens(name, levels, counts, is_value, kind, reading.listed):
                return near
    if near := nearly.numbers(name, levels, counts, reading.listed):
        return near
    found = dates or [None] * len(levels)
    return nearly.dates(name, levels, counts, np.array([value is not None for value in found]))


def _category(name: str, held: Texts, kind: ColumnKind) -> Read:
    made = Read(held.column(kind), held.tokens, rule=held.rule())
    if kind != "category" or len(held.levels) < MANY_LEVELS:
        return made
    return _warned(
        made,
        f"{name}: {len(held.levels):,} different values in {int(held.counts().sum()):,} rows is much for a category. "
        "List it under data.drop, or group its values.",
    )


def _parsed(
    name: str,
    held: Texts,
    kind: ColumnKind,
    reading: Reading,
    parsed: Sequence[float | None] | None = None,
) -> Read:
    """Every distinct text by the rule of the kind; `parsed`, if that was done already.

    Raises DataError at the first row that does not follow it.
    """
    rule: Callable[[str], float | None]
    rule, expected = {
        "number": (reading.number, "a number"),
        "boolean": (values.boolean, "true or false (also yes/no, t/f, y/n, 1/0)"),
        "date": (
            values.moment,
            "a date such as 2026-11-23 or 2026-11-23T15:20:00Z, of the years 1 to 9999",
        ),
    }[kind]
    parsed = [rule(text) for text in held.levels] if parsed is None else parsed
    odd = np.array([value is None for value in parsed], dtype=bool)
    if odd.any():
        row = held.first(odd)
        text = held.levels[held.codes[row]]
        numbers, dates = parsed if kind == "number" else None, parsed if kind == "date" else None
        near = _nearly(name, held, numbers, dates, reading) if kind != "boolean" else None
        remedy = (
            near.remedy
            if near
            else f"Correct it, add it to data.missing, or leave out data.types: {name}."
        )
        raise DataError(reading.at(row, name), expected, shown(text), remedy)
    table = np.array([*(np.nan if value is None else float(value) for value in parsed), np.nan])
    column = reading.without_missing(table[held.codes]) if kind == "number" else table[held.codes]
    _refuse_infinite(name, column, reading)
    return Read(Column(kind, column), held.tokens, whole=kind == "number" and _is_whole(column))


def _from_typed(
    name: str, raw: pa.ChunkedArray, asked: ColumnKind | None, reading: Reading
) -> Read:
    """A column whose source has given it a type."""
    _check_type(name, raw.type, reading)
    if asked is not None and is_modality(asked):
        return _of_modality(asked, name, texts(name, raw, reading), reading)
    if asked in ("category", "identifier") or pa.types.is_time(raw.type):
        return _category(name, levels_of(texts(name, raw, reading), reading), asked or "category")
    found, column = _typed_values(name, raw, reading)
    tokens = frozenset({""}) if np.isnan(column).any() else frozenset()
    wanted = asked or found
    if wanted == "date" and found == "number":
        return _parsed(name, texts(name, raw, reading), "date", reading)
    if wanted == "boolean" and found == "number":
        _refuse(name, column, ~np.isin(column, (0.0, 1.0)), "true or false (or 1 and 0)", reading)
    elif wanted != found:
        raise DataError(
            f"{reading.where}, column '{name}'",
            f"a {wanted}",
            f"a column of {found}s ({raw.type})",
            f"Change data.types: {name}.",
        )
    if wanted == "date":
        outside = (column < values.FIRST_S) | (column >= values.END_S)
        _refuse(name, column, outside, "a date in the years 1 to 9999", reading)
    made = Read(Column(wanted, column), tokens, whole=wanted == "number" and _is_whole(column))
    return _as_identifier(name, made) if asked is None and pa.types.is_integer(raw.type) else made


def _typed_values(
    name: str, raw: pa.ChunkedArray, reading: Reading
) -> tuple[ColumnKind, FloatArray]:
    kind = raw.type
    if pa.types.is_boolean(kind):
        return "boolean", _floats(raw.cast(pa.uint8()))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        unit = pa.timestamp("us", tz=kind.tz if pa.types.is_timestamp(kind) else None)
        return "date", _floats(raw.cast(unit, safe=False).cast(pa.int64())) / 1e6
    if pa.types.is_duration(kind):
        return "number", _floats(raw.cast(pa.duration("us"), safe=False).cast(pa.int64())) / 1e6
    column = _floats(raw.cast(pa.float64(), safe=False))
    _refuse_infinite(name, column, reading)
    return "number", reading.without_missing(column)


def _as_identifier(name: str, made: Read) -> Read:
    """Whole numbers that all differ, in a column that is named like an identifier, are one."""
    column = made.column.values
    if (
        not _IDENTIFIER.fullmatch(name)
        or not made.whole
        or np.isnan(column).any()
        or len(np.unique(column)) < len(column)
    ):
        return made
    return replace(
        made, column=Column("identifier", np.arange(len(column), dtype=np.int32)), whole=False
    )


def _check_type(name: str, kind: pa.DataType, reading: Reading) -> None:
    """Raises DataError for what no kind of column can hold: lists, structures, bytes."""
    types = pa.types
    known = (
        is_text(kind),
        types.is_boolean(kind),
        types.is_integer(kind),
        types.is_floating(kind),
        types.is_decimal(kind),
        types.is_timestamp(kind),
        types.is_date(kind),
        types.is_duration(kind),
        types.is_time(kind),
    )
    if not any(known):
        what = "nested values" if types.is_nested(kind) else "the type"
        raise DataError(
            f"{reading.where}, column '{name}'",
            "numbers, text, booleans or dates",
            f"{what} ({kind})",
            f"Convert the column, or list it under data.drop: [{name}].",
        )


def _refuse_infinite(name: str, column: FloatArray, reading: Reading) -> None:
    _refuse(name, column, np.isinf(column), "a finite number", reading)


def _refuse(
    name: str, column: FloatArray, wrong: npt.NDArray[np.bool_], expected: str, reading: Reading
) -> None:
    """Raises DataError at the first value that is wrong; missing ones never are."""
    wrong = wrong & ~np.isnan(column)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            reading.at(row, name),
            expected,
            values.show_number(float(column[row])),
            "Correct it, or leave it empty if it is not known.",
        )


def _floats(array: pa.ChunkedArray) -> FloatArray:
    """float64 with NaN for null; owns its memory."""
    if array.type == pa.float64() and array.null_count:
        array = array.fill_null(float("nan"))
    return np.array(array.to_numpy(), dtype=np.float64)


def _is_whole(column: FloatArray) -> bool:
    known = column[~np.isnan(column)]
    return bool(len(known)) and bool((known == np.floor(known)).all())


def _warned(made: Read, text: str) -> Read:
    return replace(made, warnings=(*made.warnings, text))


def shown(text: str) -> str:
    """A cell in a message: quoted, at most 60 characters."""
    return repr(text if len(text) <= 60 else text[:59] + "…")
