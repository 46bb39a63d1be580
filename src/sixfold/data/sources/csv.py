"""Separated text with a header: .csv, .tsv, .txt."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import Field

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_count, name_index, no_name, table_in_words
from sixfold.data.sources._header import SAMPLE, check_header, names_of
from sixfold.data.sources._lines import (
    LONGEST,
    Places,
    Quotes,
    records,
    short_lines,
    starts,
    text_lines,
)
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

BLOCK = LONGEST  # bytes parsed at once, also the longest record
SAMPLE_FIELDS = 1_000_000  # of the first records, at most: 60 MB as Python's strings
LEAST_TAKEN = (
    1.25  # of text and offsets, while a file is parsed: 1.5 was measured, 400 MB of 50 columns
)
USUAL = ";\t|,"  # separators; a header of one name that holds another of them was meant otherwise


class _Header(NamedTuple):
    """Names of the columns, empty lines before the first record, mean bytes of the first records,
    what a column without a name is called, warnings.
    """

    names: list[str]
    blank: int
    record_bytes: float
    nameless: str | None = None
    warnings: tuple[str, ...] = ()


class Settings(Section):
    """Text with one record a line (more where text in quotes holds line ends), read by pyarrow.csv.

    The first line names the columns, unless data.header is false. UTF-8, or the encoding that a
    byte order mark or data.read.encoding says. CRLF, a byte order mark and empty lines are
    accepted; a quote inside quotes is written twice.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")
    separator: str = Field(
        ",", min_length=1, max_length=1, description="Between two fields; a .tsv has tabs."
    )
    header: bool = Field(True, description="Whether the first line names the columns.")
    names: tuple[str, ...] = Field(
        (), description="Names of the columns of a file without a header."
    )
    encoding: str | None = Field(
        None, description="A codec of Python. Left out: UTF-8, or by a byte order mark."
    )

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file with the recipe's separator, or the one its ending stands for. Raises
        RecipeError.
        """
        usual = "\t" if ".tsv" in path.suffixes or DataFile(path).extension == "tsv" else ","
        separator = data.separator or usual
        if not separator.isascii() or separator in '"\r\n':
            raise RecipeError(
                "data.separator",
                "one ASCII character, no quote and no line end",
                repr(separator),
                "Use ',' or ';'.",
            )
        return cls(
            path=path,
            separator=separator,
            header=data.header,
            names=data.names,
            encoding=data.read.encoding,
        )

    def _file(self, memory: MemoryLimit | None = None) -> DataFile:
        return DataFile(self.path, self.encoding, memory)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Every column as text. Raises DataError with the line of what is wrong, or BudgetError."""
        limit = memory or MemoryLimit.of(None)
        file = self._file(limit)
        header = self._header(file)
        self._plan(limit, header)
        names, blank, nameless = header.names, header.blank, header.nameless
        quotes = Quotes(self.separator)
        try:
            table = self._parsed(file, header, quotes)
        except pa.ArrowInvalid as error:
            file.check_text()
            if self._check_records(file, len(names)) == int(self.header):
                raise self._no_rows() from None
            raise DataError(
                str(self.path),
                f"separated text, no record longer than {BLOCK:,} bytes",
                str(error).splitlines()[0],
                "Check the quotes and the line ends.",
            ) from None
        if quotes.doubtful:
            self._check_records(file, len(names))
        if table.num_rows == 0:
            raise self._no_rows()
        columns, rows = dict(zip(names, table.columns, strict=True)), table.num_rows
        if nameless is not None and not _is_index(columns[nameless]):
            raise no_name(f"{file.path}, line {blank + 1}", names.index(nameless) + 1)
        return Raw(
            columns,
            rows,
            str(self.path),
            Places(lambda: self._starts(rows)),
            nameless,
            header.warnings,
        )

    def _parsed(self, file: DataFile, header: _Header, quotes: Quotes) -> pa.Table:
        """Every field as text, in columns that are called by their numbers. Raises ArrowInvalid."""
        internal = [str(i) for i in range(len(header.names))]
        with file.text() as stream:
            stream.watch = quotes
            return pa.csv.read_csv(
                stream,
                pa.csv.ReadOptions(
                    column_names=internal,
                    skip_rows=header.blank,
                    skip_rows_after_names=int(self.header),
                    block_size=BLOCK,
                ),
                pa.csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(internal, pa.string()),
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )

    def _header(self, file: DataFile) -> _Header:
        """What stands before the rows. Raises DataError."""
        with file.open() as stream:
            disguise = file.disguise(stream)
        if disguise:
            raise DataError(
                str(file.path), "separated text", disguise, "Name the file by what it holds."
            )
        blank, rows = self._first_records(file)
        if not rows:
            raise DataError(
                str(file.path),
                "a table with a header and rows",
                "an empty file",
                "Check the export.",
            )
        first, where = [name.strip() for name in rows[0]], f"{file.path}, line {blank + 1}"
        if any("\0" in name for name in first):
            raise DataError(
                where,
                "text",
                "zero bytes, as of UTF-16 without a byte order mark",
                "Say data.read: {encoding: utf-16-le}, or save the file as UTF-8.",
            )
        if not self.header:
            self._check_separator(first, where)
            return _Header(names_of(first, self.names, where), blank, _mean_bytes(rows))
        nameless = name_index(first)
        warnings = check_header(first, rows[1:], where)
        self._check_separator(first, where)
        return _Header(first, blank, _mean_bytes(rows[1:] or rows), nameless, warnings)

    def _plan(self, memory: MemoryLimit, header: _Header) -> None:
        """What the file's size tells before it is read; of what is packed the size is not known.
        Raises BudgetError.
        """
        check_count(len(header.names), str(self.path))
        size = self.path.stat().st_size
        if self.path.suffix.lower() in (".gz", ".zip"):
            return
        rows = int(size / header.record_bytes) + 1
        needed = LEAST_TAKEN * (
            size + 4 * rows * len(header.names)
        )  # text, and where each field begins
        memory.plan(
            str(self.path), table_in_words(rows, len(header.names), about=True), int(needed)
        )

    def _first_records(self, file: DataFile) -> tuple[int, list[list[str]]]:
        """The number of empty lines before the first record; and the first records. Raises
        DataError.
        """
        blank, rows, fields = 0, list[list[str]](), 0
        try:
            with file.text() as stream:
                lines = io.TextIOWrapper(
                    io.BufferedReader(stream), encoding="utf-8-sig", newline=""
                )
                for record in csv.reader(
                    short_lines(lines, str(file.path)), delimiter=self.separator
                ):
                    if record:
                        rows.append(record)
                        check_count(len(rows[0]), str(file.path))
                        fields += len(record)
                    blank += not rows
                    if len(rows) > SAMPLE or fields > SAMPLE_FIELDS:
                        break
        except (UnicodeDecodeError, csv.Error) as error:
            if rows:
                return (
                    blank,
                    rows,
                )  # what is wrong further down is found with its line when everything is read
            if isinstance(error, UnicodeDecodeError):
                file.check_text()
                raise
            raise DataError(
                f"{file.path}, line 1", "a header", str(error), "Check the quotes."
            ) from None
        return blank, rows

    def _check_separator(self, names: list[str], where: str) -> None:
        """One name that holds another usual separator: the file is separated by that one. Raises
        DataError.
        """
        other = (
            next((mark for mark in USUAL if mark in names[0]), None) if len(names) == 1 else None
        )
        if other is not None:
            raise DataError(
                where,
                f"names separated by {self.separator!r}",
                f"one name that holds {other!r}",
                f"Set data.separator to {other!r} (`sixfold init --separator`).",
            )

    def _no_rows(self) -> DataError:
        if not self.header:
            return DataError(str(self.path), "rows", "none", "Check the export.")
        return DataError(
            str(self.path), "rows below the header", "a header only", "Check the export."
        )

    def _starts(self, rows: int) -> list[int]:
        """The line of each of the rows."""
        file = self._file()
        lines = list(starts(text_lines(file)))
        if len(lines) != rows + self.header:  # quotes that are only text, such as 5" pipe
            lines = [record.line for record in records(text_lines(file), self.separator)]
        return lines[int(self.header) :]

    def _check_records(self, file: DataFile, width: int) -> int:
        """The number of records. Raises DataError at the first without `width` fields, or with
        wrong quotes.
        """
        count = 0
        for record in records(text_lines(file), self.separator):
            if not record.closed:
                raise DataError(
                    f"{file.path}, line {record.line:,}",
                    "a closing quote",
                    "the end of the file",
                    "Close the quote, or write it twice where it belongs to the text.",
                )
            if not record.whole:
                raise DataError(
                    f"{file.path}, line {record.line:,}",
                    "quotes around a whole field",
                    "text after a closing quote",
                    "Put the field into quotes and write each quote inside it twice.",
                )
            if record.fields != width:
                raise DataError(
                    f"{file.path}, line {record.line:,}",
                    f"{width:,} fields, as in the {'header' if self.header else 'first line'}",
                    f"{record.fields:,} fields",
                    "Put text that holds the separator into quotes.",
                )
            count += 1
        return count


def _mean_bytes(rows: list[list[str]]) -> float:
    """Of the first records: their fields, and what stands between them."""
    return max(1.0, sum(len(field) + 1 for row in rows for field in row) / len(rows))


def _is_index(cells: pa.ChunkedArray) -> bool:
    """Whether the cells of a column without a name are whole numbers, as pandas and R write an
    index.
    """
    try:
        pc.cast(pc.ascii_trim_whitespace(cells), pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
