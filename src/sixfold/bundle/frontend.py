"""The thin front end: raw rows in any of the usual forms → a matrix of numbers and one of texts.

All of it that another language has to write again: names, missing tokens, numbers, booleans, dates.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from sixfold.bundle.cells import missing_numbers, reader
from sixfold.bundle.headerless import Fields
from sixfold.bundle.modality_reader import Cell, CellError, reader_of
from sixfold.core.errors import RowError
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.recipe.signature import NUMBERS, Input, Signature

Feeds = dict[str, npt.NDArray[Any]]
RawRows = (
    Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Any
)  # Any: a pandas DataFrame, not imported
Extra = Literal["ignore", "refuse"]
LONGEST_LINE: Final = 1 << 20  # characters of one line of text; guessed
SHORT_RECORD: Final = 64 << 10  # characters of a CSV record that a request may always have; guessed
OF_COLUMN: Final = 4 << 10  # and a column; guessed
SPARE_COLUMNS: Final = (
    16  # that a request may have besides those of the signature, to be told which they are
)
MOST_ALIKE: Final = 200  # names that are compared with a misspelled one, and
LONGEST_ALIKE: Final = 100  # their characters: comparing takes the product of the lengths
SHOWN: Final = 60  # characters of a value in a message
_START: Final = reprlib.Repr()
_START.maxlist = _START.maxtuple = _START.maxdict = _START.maxset = 20
_START.maxlevel, _START.maxstring, _START.maxlong, _START.maxother = (
    6,
    4 * SHOWN,
    4 * SHOWN,
    4 * SHOWN,
)
PLAIN: Final[frozenset[type]] = frozenset(
    {float, int, type(None)}
)  # what NumPy reads as `cells` does: None is NaN


class FrontEnd:
    """Turns raw rows into feeds by a signature. `where` in messages counts rows from
    `first_row`.
    """

    def __init__(self, signature: Signature) -> None:
        missing = frozenset({"", *signature.missing})
        self._groups = {
            name: [_Column(column, reader(column, missing)) for column in columns]
            for name, columns in signature.graph_inputs().items()
        }
        self._order = tuple(column.name for column in signature.inputs)
        self._names = set(self._order)
        self._targets = {
            *signature.target,
            *signature.fields,
        } - self._names  # may be sent, and are not looked at
        self._missing_numbers = sorted(missing_numbers(missing))
        numbers = self._groups.get(NUMBERS, [])
        self._plain = _Taken([each.input.name for each in numbers if each.input.type == "number"])
        self._all_plain = len(self._plain.names) == len(signature.inputs)
        plain = [at for at, each in enumerate(numbers) if each.input.type == "number"]
        self._plain_at: slice | list[int] = slice(None) if len(plain) == len(numbers) else plain

    def feeds(self, rows: RawRows, extra: Extra = "ignore", first_row: int = 1) -> Feeds:
        """`numbers`: float64 [rows, columns] with NaN; `categories`: str objects [rows, columns]
        with ''; of each other modality (`texts`, `images`) objects as its reader holds them.

        Raises RowError.
        """
        if isinstance(rows, Mapping):
            return self.from_columns(rows, extra, first_row)
        if hasattr(rows, "columns") and hasattr(rows, "to_numpy"):
            return self._from_frame(rows, extra, first_row)
        if isinstance(rows, str | bytes) or not isinstance(rows, Sequence):
            raise RowError(
                "rows",
                "a list of rows, a mapping of columns, or a DataFrame",
                type(rows).__name__,
                "Put a single row into a list: [row].",
            )
        return self._from_rows(rows, extra, first_row)

    def plain_row(self, rows: RawRows, extra: Extra = "ignore") -> npt.NDArray[np.float64] | None:
        """[columns] of one row, where all columns are numbers and all of its values are; None where
        `feeds` has to look.

        What `feeds` would give, in less time: nothing is refused here.
        """
        if not self._all_plain or type(rows) is not list or len(rows) != 1:
            return None
        row = rows[0]
        if type(row) is not dict or (extra == "refuse" and row.keys() != self._names):
            return None
        try:
            cells = self._plain.take(row)
        except KeyError:
            return None
        numbers = self._plain_numbers([cells])
        return None if numbers is None else numbers[0]

    def from_columns(
        self, columns: Mapping[str, Sequence[Any]], extra: Extra, first_row: int = 1
    ) -> Feeds:
        """The same for a mapping of columns, all of one length."""
        self._check_names(columns, extra, "columns")
        lengths = {
            name: len(self._sequence(name, columns[name]))
            for name in columns
            if name in self._names
        }
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"'{name}' {length}" for name, length in list(lengths.items())[:5])
            raise RowError(
                "columns", "columns of equal length", shown, "Give every column one value a row."
            )
        rows = next(iter(lengths.values()), 0)
        feeds = {name: _empty(name, rows, len(group)) for name, group in self._groups.items()}
        for name, group in self._groups.items():
            for at, column in enumerate(group):
                feeds[name][:, at] = self._values(column, columns[column.input.name], first_row)
        return feeds

    def _from_frame(self, frame: Any, extra: Extra, first_row: int) -> Feeds:
        """The same for a DataFrame: its columns of numbers in one piece."""
        places: dict[str, int] = {}
        for place, name in enumerate(map(str, frame.columns)):
            if name in places and name in self._names:
                raise RowError(
                    "the DataFrame",
                    "each column once",
                    f"'{shorten(name)}' twice",
                    "Rename one of them.",
                )
            places[name] = place
        self._check_names(places, extra, "columns")
        kinds = frame.dtypes.tolist()
        feeds = {name: _empty(name, len(frame), len(group)) for name, group in self._groups.items()}
        for name, group in self._groups.items():
            numbers = [
                at
                for at, column in enumerate(group)
                if column.holds(kinds[places[column.input.name]])
            ]
            block = frame.iloc[:, [places[group[at].input.name] for at in numbers]].to_numpy(
                dtype=np.float64
            )
            whole = (
                bool(numbers) and not np.isinf(block).any()
            )  # else column by column, to name the row
            if whole:
                feeds[name][:, numbers] = self._without_missing(block.copy())
            for at in sorted(set(range(len(group))).difference(numbers if whole else ())):
                values = _values(frame.iloc[:, places[group[at].input.name]])
                feeds[name][:, at] = self._values(group[at], values, first_row)
        return feeds

    def _from_rows(self, rows: Sequence[Mapping[str, Any]], extra: Extra, first_row: int) -> Feeds:
        names = self._names
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise RowError(
                    f"row {first_row + number}",
                    "a mapping of column to value",
                    type(row).__name__,
                    "Give each row as {column: value}.",
                )
            if row.keys() != names:
                self._check_names(row, extra, f"row {first_row + number}")
        feeds = {name: _empty(name, len(rows), len(group)) for name, group in self._groups.items()}
        plain = (
            self._plain_numbers([self._plain.take(row) for row in rows])
            if self._plain.names and rows
            else None
        )
        if plain is not None:
            feeds[NUMBERS][:, self._plain_at] = plain
        for name, group in self._groups.items():
            for at, column in enumerate(group):
                if plain is None or column.input.type != "number":
                    cells = [row[column.input.name] for row in rows]
                    feeds[name][:, at] = self._values(column, cells, first_row)
        return feeds

    def _plain_numbers(self, cells: Sequence[tuple[Any, ...]]) -> npt.NDArray[np.float64] | None:
        """[rows, columns] where every cell is a finite number of Python's, NaN or None; else
        None.
        """
        if not (_are(cells[:1], PLAIN) and _are(cells, PLAIN)):  # of many rows the first tells most
            return None
        try:
            numbers = np.array(cells, dtype=np.float64)
        except OverflowError:
            return None
        return None if np.isinf(numbers).any() else self._without_missing(numbers)

    def _without_missing(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """NaN where a number is one of the missing tokens."""
        if self._missing_numbers:
            numbers[np.isin(numbers, self._missing_numbers)] = np.nan
        return numbers

    def _values(self, column: _Column, values: Any, first_row: int) -> Any:
        """The values of a column, as the graph takes them."""
        if (
            column.input.type == "number"
            and isinstance(values, np.ndarray)
            and values.dtype.kind in "fiu"
        ):
            numbers = values.astype(np.float64)
            if not np.isinf(numbers).any():  # else cell by cell, to name the row
                return self._without_missing(numbers)
        cell, found = column.cell, []
        try:
            for value in values:
                found.append(cell(value))
        except CellError as error:
            raise self._cell_error(
                column.input, values[len(found)], str(error), first_row + len(found)
            ) from None
        return found

    def _cell_error(self, column: Input, value: Any, expected: str, row: int) -> RowError:
        plain = column.type in PLAIN_KINDS
        remedy = (
            "Send null where the value is missing."
            if plain
            else reader_of(column.type).shown.remedy
        )
        return RowError(f"row {row}, column '{column.name}'", expected, shown(value), remedy)

    def _check_names(self, found: Mapping[Any, Any], extra: Extra, where: str) -> None:
        """Every column of the signature is there; with `refuse`, no other column is, besides the
        target.
        """
        for name in self._order:
            if name not in found:
                near = _nearest(name, (str(f) for f in found if f not in self._names), 0.6)
                came = f"'{shorten(near[0])}'" if near else "no such column"
                raise RowError(
                    f"{where}, column '{name}'",
                    f"the column '{name}'",
                    came,
                    f"Rename it to '{name}'."
                    if near
                    else "Add the column; send null where its value is missing.",
                )
        if extra == "refuse":
            for name in found:
                if name not in self._names and name not in self._targets:
                    raise self._unknown(str(name), where)

    def _unknown(self, name: str, where: str) -> RowError:
        near = _nearest(name, self._order, 0.5)
        hint = f"Did you mean '{near[0]}'? Its value is given too. " if near else ""
        return RowError(
            f"{where}, column '{shorten(name)}'",
            "only columns of the signature",
            f"the unknown column '{shorten(name)}'",
            f"{hint}Leave it out: signature.json lists the columns.",
        )

    def _sequence(self, name: str, values: Any) -> Sequence[Any]:
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            raise RowError(
                f"column '{name}'", "a list of values", shown(values), "Give one value a row."
            )
        return values  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Column:
    """A raw column, and what reads one of its cells."""

    input: Input
    cell: Cell

    def holds(self, dtype: Any) -> bool:
        """Whether this is a column of numbers, and `dtype` numbers of NumPy's."""
        return self.input.type == "number" and _is_numeric(dtype)


class _Taken:
    """Some columns, and what takes their values out of a row."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.take: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda row: tuple(row[name] for name in names)
        )


def _empty(name: str, rows: int, columns: int) -> npt.NDArray[Any]:
    return np.empty((rows, columns), dtype=np.float64 if name == NUMBERS else object)


def _are(cells: Sequence[tuple[Any, ...]], kinds: frozenset[type]) -> bool:
    return kinds.issuperset(map(type, itertools.chain.from_iterable(cells)))


def _is_numeric(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "fiu"


def _values(series: Any) -> Any:
    """A DataFrame's column: numbers stay an array, everything else becomes a list of Python
    values.
    """
    return series.to_numpy() if _is_numeric(series.dtype) else series.tolist()


def most_columns(signature: Signature) -> int:
    """Columns that a request may have: those of the signature and of the training file, and some to
    be told about.
    """
    names = {*(column.name for column in signature.inputs), *signature.target, *signature.fields}
    return len(names) + SPARE_COLUMNS


def longest_record(columns: int) -> int:
    """Characters of a CSV record of a request."""
    return min(LONGEST_LINE, max(SHORT_RECORD, columns * OF_COLUMN))


class _Lines(Iterator[str]):
    """The lines of a text; what lies between two calls of `next_record` has at most `longest`
    characters.
    """

    def __init__(self, lines: Iterable[str], where: str, longest: int) -> None:
        self._lines, self._where, self._longest = iter(lines), where, longest
        self._number = self._size = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._size += len(line)
        if self._size > self._longest:
            raise RowError(
                f"{self._where}, line {self._number}",
                f"lines of at most {self._longest:,} characters",
                "a longer one",
                "Check the line ends and the quotes.",
            )
        return line

    def next_record(self) -> None:
        """A record was read."""
        self._size = 0


def csv_rows(
    lines: Iterable[str],
    separator: str,
    where: str,
    fields: Fields | None = None,
    columns: int | None = None,
) -> Iterator[dict[str, str]]:
    """Rows of a CSV text with a header; with `fields`, of a model without one, also without.

    `columns`: at most so many, of a request. Raises RowError with the line for ragged rows and bad
    quotes.
    """
    bounded = _Lines(lines, where, LONGEST_LINE if columns is None else longest_record(columns))
    reader = csv.reader(bounded, delimiter=separator, strict=True)
    try:
        first = next(filter(None, reader), [])
        if columns is not None and len(first) > columns:
            raise RowError(
                f"{where}, line {reader.line_num}",
                f"at most {columns} fields",
                f"{len(first):,}",
                "Leave out what the model does not ask for: signature.json lists the columns.",
            )
        first[:1] = [name.removeprefix("\ufeff") for name in first[:1]]
        header, is_header = [name.strip() for name in first], True
        if fields is not None and first:
            header, is_header = fields.of_line(first, where)
        _check_header(header, where)
        for record in reader if is_header else itertools.chain([first], reader):
            bounded.next_record()
            if len(record) != len(header):
                if not record:
                    continue
                raise RowError(
                    f"{where}, line {reader.line_num}",
                    f"{len(header)} fields",
                    f"{len(record)} fields",
                    "Put text that holds the separator into quotes.",
                )
            yield dict(zip(header, record, strict=True))
    except csv.Error as error:
        raise RowError(
            f"{where}, line {reader.line_num}", "CSV", str(error), "Check the quotes."
        ) from None


def _check_header(header: Sequence[str], where: str) -> None:
    if not header or header == [""]:
        raise RowError(
            f"{where}, line 1",
            "a header with the names of the columns",
            "nothing",
            "Add a first line.",
        )
    if len(set(header)) < len(header):
        seen: set[str] = set()
        twice = next(name for name in header if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise RowError(
            f"{where}, line 1",
            "each column once",
            f"'{shorten(twice)}' twice",
            "Rename one of them.",
        )


def shown(value: Any) -> str:
    """A value in a message: quoted and cut. Of a large one the beginning is looked at."""
    return shorten(repr(value[:SHOWN]) if isinstance(value, str | bytes) else _START.repr(value))


def _nearest(name: str, names: Iterable[str], cutoff: float) -> list[str]:
    """The name that is most like this one, if there is one: among the first that are short enough
    to be compared.
    """
    if len(name) > LONGEST_ALIKE:
        return []
    short = itertools.islice((one for one in names if len(one) <= LONGEST_ALIKE), MOST_ALIKE)
    return difflib.get_close_matches(name, list(short), n=1, cutoff=cutoff)


def shorten(text: str) -> str:
    """At most 60 characters, with nothing that UTF-8 cannot hold."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= SHOWN else safe[: SHOWN - 1] + "…"
