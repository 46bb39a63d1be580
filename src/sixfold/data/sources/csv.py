"""Separated text with a header: .csv, .tsv, .txt."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import Field

from sixfold.core.errors import DataError, RecipeError
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_names, name_index, no_name
from sixfold.data.sources._lines import Places, Quotes, check_utf8, records, starts, text_lines
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

BLOCK = 8 << 20  # bytes parsed at once, also the longest record; guessed
USUAL = ";\t|,"  # separators; a header of one name that holds another of them was meant otherwise


class Settings(Section):
    """Text in UTF-8 with one record a line (more where text in quotes holds line ends), read by pyarrow.csv.

    The first line names the columns. CRLF, a byte order mark and empty lines are accepted; a quote inside quotes is
    written twice.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")
    separator: str = Field(",", min_length=1, max_length=1, description="Between two fields; a .tsv has tabs.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file with the recipe's separator, or the one its ending stands for. Raises RecipeError."""
        usual = "\t" if ".tsv" in path.suffixes or DataFile(path).extension == "tsv" else ","
        separator = data.separator or usual
        if not separator.isascii() or separator in '"\r\n':
            raise RecipeError(
                "data.separator", "one ASCII character, no quote and no line end", repr(separator), "Use ',' or ';'."
            )
        return cls(path=path, separator=separator)

    def read(self) -> Raw:
        """Every column as text. Raises DataError with the line of what is wrong."""
        file = DataFile(self.path)
        names, blank = self._header(file)
        nameless = name_index(names)
        check_names(names, f"{file.path}, line {blank + 1}")
        quotes = Quotes(self.separator)
        internal = [str(i) for i in range(len(names))]
        try:
            with file.open() as stream:
                stream.watch = quotes
                table = pa.csv.read_csv(
                    stream,
                    pa.csv.ReadOptions(
                        column_names=internal, skip_rows=blank, skip_rows_after_names=1, block_size=BLOCK
                    ),
                    pa.csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                    pa.csv.ConvertOptions(
                        column_types=dict.fromkeys(internal, pa.string()), null_values=[], strings_can_be_null=False
                    ),
                )
        except pa.ArrowInvalid as error:
            check_utf8(file)
            if self._check_records(file, len(names)) == 1:
                raise self._no_rows() from None
            raise DataError(
                str(self.path), f"separated text, no record longer than {BLOCK:,} bytes", str(error).splitlines()[0],
                "Check the quotes and the line ends.",
            ) from None  # fmt: skip
        if quotes.doubtful:
            self._check_records(file, len(names))
        if table.num_rows == 0:
            raise self._no_rows()
        columns, rows = dict(zip(names, table.columns, strict=True)), table.num_rows
        if nameless is not None and not _is_index(columns[nameless]):
            raise no_name(f"{file.path}, line {blank + 1}", names.index(nameless) + 1)
        return Raw(columns, rows, str(self.path), Places(lambda: self._starts(rows)), nameless)

    def _header(self, file: DataFile) -> tuple[list[str], int]:
        """The names in the first record, and the number of empty lines before it."""
        with file.open() as stream:
            disguise = file.disguise(stream)
        if disguise:
            raise DataError(str(file.path), "separated text", disguise, "Name the file by what it holds.")
        blank = 0
        try:
            with file.open() as stream:
                lines = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
                reader = csv.reader(lines, delimiter=self.separator)
                names = next(reader, None)
                while names == []:
                    blank += 1
                    names = next(reader, None)
        except UnicodeDecodeError:
            check_utf8(file)
            raise
        except csv.Error as error:
            raise DataError(f"{file.path}, line 1", "a header", str(error), "Check the quotes.") from None
        if names is None:
            raise DataError(str(file.path), "a table with a header and rows", "an empty file", "Check the export.")
        names = [name.strip() for name in names]
        self._check_separator(names, f"{file.path}, line {blank + 1}")
        return names, blank

    def _check_separator(self, names: list[str], where: str) -> None:
        """One name that holds another usual separator: the file is separated by that one. Raises DataError."""
        other = next((mark for mark in USUAL if mark in names[0]), None) if len(names) == 1 else None
        if other is not None:
            raise DataError(
                where, f"names separated by {self.separator!r}", f"one name that holds {other!r}",
                f"Set data.separator to {other!r} (`sixfold init --separator`).",
            )  # fmt: skip

    def _no_rows(self) -> DataError:
        return DataError(str(self.path), "rows below the header", "a header only", "Check the export.")

    def _starts(self, rows: int) -> list[int]:
        """The line of each of the rows."""
        file = DataFile(self.path)
        lines = list(starts(text_lines(file)))
        if len(lines) != rows + 1:  # quotes that are only text, such as 5" pipe
            lines = [record.line for record in records(text_lines(file), self.separator)]
        return lines[1:]

    def _check_records(self, file: DataFile, width: int) -> int:
        """The number of records. Raises DataError at the first without `width` fields, or with wrong quotes."""
        count = 0
        for record in records(text_lines(file), self.separator):
            if not record.closed:
                raise DataError(
                    f"{file.path}, line {record.line:,}", "a closing quote", "the end of the file",
                    "Close the quote, or write it twice where it belongs to the text.",
                )  # fmt: skip
            if not record.whole:
                raise DataError(
                    f"{file.path}, line {record.line:,}", "quotes around a whole field", "text after a closing quote",
                    "Put the field into quotes and write each quote inside it twice.",
                )  # fmt: skip
            if record.fields != width:
                raise DataError(
                    f"{file.path}, line {record.line:,}", f"{width:,} fields, as in the header",
                    f"{record.fields:,} fields", "Put text that holds the separator into quotes.",
                )  # fmt: skip
            count += 1
        return count


def _is_index(cells: pa.ChunkedArray) -> bool:
    """Whether the cells of a column without a name are whole numbers, as pandas and R write an index."""
    try:
        pc.cast(pc.ascii_trim_whitespace(cells), pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
