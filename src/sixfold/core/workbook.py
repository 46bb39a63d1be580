"""The rows of an Excel file (.xlsx), one after the other, by the extra `excel`: asked for when
there is such a file.
"""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sixfold.core import archive
from sixfold.core.archive import BOMB_BYTES, BOMB_RATIO
from sixfold.core.errors import DataError, SixfoldError, SystemFault, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import show_bytes

BROKEN: Final = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    OSError,
    EOFError,
    TypeError,
    AttributeError,
    IndexError,
)
MOST_ROWS: Final = 1 << 20  # of a sheet, in Excel
FEW_BYTES: Final = 16 << 20  # of texts that are not counted before they are read
TEXT_BYTES: Final = 60  # of a Python string and its place in a list, besides its letters
Cells = tuple[Any, ...]


def rows(
    path: Path, sheet: str | None = None, memory: MemoryLimit | None = None
) -> Iterator[tuple[int, Cells]]:
    """Number and cells of every row that is not empty: numbers, booleans, dates, text, None.
    Formulas give their results.

    Raises DataError, SystemFault without the extra, or BudgetError where its texts take more than
    `memory`.
    """
    openpyxl = _openpyxl(path)
    if memory is not None:
        memory.plan(str(path), "the whole file", path.stat().st_size)
    with archive.seekable(path, memory) as stream:
        content = io.BytesIO(stream.read())
    _check_size(path, content)
    _plan_texts(path, content, memory)
    try:
        with (
            _Book(openpyxl, content, data_only=True) as results,
            _Book(openpyxl, content, data_only=False) as formulas,
        ):
            name = _sheet(path, results.names, sheet)
            pairs = zip(results.rows(name), formulas.rows(name), strict=False)
            for number, (cells, written) in enumerate(pairs, start=1):
                if number > MOST_ROWS:
                    raise _too_many_rows(path)
                _check_formulas(path, number, cells, written)
                if any(cell is not None and cell != "" for cell in cells):
                    yield number, cells
    except BROKEN as error:
        if isinstance(error, SixfoldError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise DataError(
            str(path), "an Excel file (.xlsx)", reason, "Save it again as .xlsx, or as CSV."
        ) from None


class _Book:
    """An open workbook, read row by row."""

    def __init__(self, openpyxl: Any, content: io.BytesIO, data_only: bool) -> None:
        self._book = openpyxl.load_workbook(
            io.BytesIO(content.getvalue()), read_only=True, data_only=data_only
        )

    def __enter__(self) -> _Book:
        return self

    def __exit__(self, *reason: object) -> None:
        self._book.close()

    @property
    def names(self) -> list[str]:
        """The sheets that hold cells."""
        return [sheet.title for sheet in self._book.worksheets]

    def rows(self, sheet: str) -> Iterator[Cells]:
        """All rows of a sheet, whatever size the file says it has."""
        cells = self._book[sheet]
        cells.reset_dimensions()
        return cells.iter_rows(values_only=True)  # type: ignore[no-any-return]


def _openpyxl(path: Path) -> Any:
    try:
        return importlib.import_module("openpyxl")
    except ImportError:
        raise SystemFault(
            str(path),
            "openpyxl, to read Excel files",
            "no such package",
            "Install the extra: pip install 'sixfold[excel]'; or save the file as CSV.",
        ) from None


def _check_size(path: Path, content: io.BytesIO) -> None:
    """An .xlsx is a zip: refuses one that unpacks to far more than it is."""
    packed = len(content.getvalue())
    with zipfile.ZipFile(content) if zipfile.is_zipfile(content) else _no_zip(path) as book:
        unpacked = sum(member.file_size for member in book.infolist())
    if unpacked > max(BOMB_BYTES, BOMB_RATIO * packed):
        raise DataError(
            str(path),
            f"a file that unpacks to at most {BOMB_RATIO} times its size",
            show_bytes(unpacked),
            "If the file is meant to be so, save it as CSV.",
        )


def _plan_texts(path: Path, content: io.BytesIO, memory: MemoryLimit | None) -> None:
    """The texts of all sheets are held at once, by both openings of the book: counted before.
    Raises BudgetError.
    """
    if memory is None:
        return
    with zipfile.ZipFile(content) as book:
        names = [name for name in book.namelist() if name.endswith("sharedStrings.xml")]
        if sum(book.getinfo(name).file_size for name in names) < FEW_BYTES:
            return
        size, count = 0, 0
        for name in names:
            with book.open(name) as stream:
                while block := stream.read(archive.BLOCK):
                    size, count = size + len(block), count + block.count(b"<si")
    memory.plan(str(path), f"about {count:,} texts", 2 * (size + TEXT_BYTES * count))


def _too_many_rows(path: Path) -> DataError:
    return DataError(
        str(path),
        f"at most {MOST_ROWS:,} rows, as Excel has",
        "a row of a greater number",
        "Save the file again by Excel.",
    )


def _no_zip(path: Path) -> zipfile.ZipFile:
    raise DataError(
        str(path), "an Excel file (.xlsx)", "another kind of file", "Save it as .xlsx, or as CSV."
    )


def _sheet(path: Path, names: list[str], asked: str | None) -> str:
    if asked is not None and asked not in names:
        raise DataError(
            f"{path}, data.sheet", "the name of a sheet", f"'{asked}'", did_you_mean(asked, names)
        )
    if not names:
        raise DataError(str(path), "a sheet of cells", "none", "Check the export.")
    return asked or names[0]


def _check_formulas(path: Path, number: int, results: Cells, formulas: Cells) -> None:
    """A formula whose result was never saved (files that programs wrote) would be an empty cell.
    Raises DataError.
    """
    for column, (result, written) in enumerate(zip(results, formulas, strict=False), start=1):
        if result is None and written is not None:
            raise DataError(
                f"{path}, row {number:,}, column {column:,}",
                "the result of the formula",
                f"none for {str(written)[:40]!r}",
                "Open the file in Excel or LibreOffice and save it: that computes its formulas.",
            )
