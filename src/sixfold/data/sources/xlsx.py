"""Excel files: .xlsx, .xlsm. Needs the extra `excel`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.core import values, workbook
from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.data.source import Raw, name_index, table_in_words
from sixfold.data.sources._header import SAMPLE, check_header, names_of
from sixfold.data.sources._typed import array, shows
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

ASKED_CELLS: Final = 100_000  # after which their memory is asked for again
CELL_BYTES: Final = (
    16  # of a cell: its place in two rows of Python's, which are made as wide as the widest
)


class Settings(Section):
    """One sheet of an Excel file. Its first row that is not empty names the columns, unless
    data.header is false.

    Cells are numbers, booleans, dates and text as Excel has them; formulas count by their results;
    empty rows are passed over.
    """

    path: Path = Field(description="The file; .gz and .zip are unpacked in memory.")
    sheet: str | None = Field(None, description="Name of the sheet. Left out: the first.")
    header: bool = Field(True, description="Whether the first row names the columns.")
    names: tuple[str, ...] = Field(
        (), description="Names of the columns of a sheet without a header."
    )
    marks: ReadFile = Field(
        default_factory=ReadFile, description="Of numbers, in columns that hold text as well."
    )

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file, with the recipe's sheet and names."""
        return cls(
            path=path, sheet=data.sheet, header=data.header, names=data.names, marks=data.read
        )

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Columns typed where all cells are of one type, text where they are mixed. Raises
        DataError, SystemFault or BudgetError.
        """
        numbers, rows = self._rows(memory or MemoryLimit.of(None))
        if len(rows) <= self.header:
            raise DataError(
                str(self.path),
                "rows below the header" if self.header else "rows",
                "none",
                "Check the export.",
            )
        width = max(len(cells) - _empty_behind(cells) for cells in rows)
        rows = [(*cells[:width], *[None] * (width - len(cells))) for cells in rows]
        where = f"{self.path}, row {numbers[0]:,}"
        texts = [[_text(cell) for cell in cells] for cells in rows[: SAMPLE + 1]]
        below, places = rows[int(self.header) :], numbers[int(self.header) :]
        nameless, warnings = None, tuple[str, ...]()
        if self.header:
            names = [text.strip() for text in texts[0]]
            first = names.index("") if "" in names else -1
            if first >= 0 and all(
                type(cells[first]) is int for cells in below
            ):  # pandas writes its index so
                nameless = name_index(names)
            warnings = check_header(names, texts[1:], where)
        else:
            names = names_of(texts[0], self.names, where)
        columns = {
            name: self._column(name, [cells[i] for cells in below]) for i, name in enumerate(names)
        }
        return Raw(
            columns,
            len(below),
            str(self.path),
            lambda row: f"row {places[row]:,}",
            nameless,
            warnings,
        )

    def _rows(self, memory: MemoryLimit) -> tuple[list[int], list[tuple[Any, ...]]]:
        """Numbers and cells of all rows that are not empty. Raises what `workbook.rows` raises."""
        numbers, rows, width, asked = list[int](), list[tuple[Any, ...]](), 0, 0
        for number, cells in workbook.rows(self.path, self.sheet, memory):
            numbers.append(number)
            rows.append(cells[: len(cells) - _empty_behind(cells)])
            width = max(width, len(rows[-1]))
            if (
                len(rows) * width > asked + ASKED_CELLS
            ):  # a single cell far to the right makes all rows as wide
                asked = len(rows) * width
                words = f"{table_in_words(len(rows), width)} so far"
                memory.plan(str(self.path), words, CELL_BYTES * asked)
        return numbers, rows

    def _column(self, name: str, cells: Sequence[Any]) -> pa.ChunkedArray:
        plain = [_plain(cell) for cell in cells]
        return pa.chunked_array([array(plain, shows(self.marks.format_of(name)))])


def _empty_behind(cells: Sequence[Any]) -> int:
    """How many cells at a row's end are empty."""
    return next((i for i, cell in enumerate(reversed(cells)) if cell is not None), len(cells))


def _plain(cell: Any) -> Any:
    """A cell's value of a type that columns have: days are moments, times of day are text."""
    if isinstance(cell, dt.datetime) or cell is None or type(cell) in (bool, int, float, str):
        return cell
    if isinstance(cell, dt.date):
        return dt.datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, dt.timedelta):
        return cell.total_seconds()
    return str(cell)


def _text(cell: Any) -> str:
    return values.spell(_plain(cell)) or ""
