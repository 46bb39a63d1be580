"""JSON lines: one object a line. .jsonl, .ndjson."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_names
from sixfold.data.sources._lines import Places, text_lines
from sixfold.data.sources._typed import Show, array, joined, shows
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

CHUNK: Final = 65_536  # rows held as Python objects at once; guessed
PLAIN: Final = (str, int, float, bool, type(None))


class Settings(Section):
    """One JSON object a line; its keys are the columns, a key that is absent is a missing value.

    Values are numbers, text, true, false or null; NaN is read as missing.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")
    encoding: str | None = Field(None, description="A codec of Python. Left out: UTF-8, or by a byte order mark.")
    marks: ReadFile = Field(default_factory=ReadFile, description="Of numbers, in columns that hold text as well.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file, in the recipe's encoding."""
        return cls(path=path, encoding=data.read.encoding, marks=data.read)

    def _file(self) -> DataFile:
        return DataFile(self.path, self.encoding)

    def _shows(self, name: str) -> Show:
        return shows(self.marks.format_of(name))

    def read(self) -> Raw:
        """Columns typed where all values are of one type, text where they are mixed. Raises DataError with the line."""
        file = self._file()
        with file.open() as stream:
            disguise = file.disguise(stream)
        if disguise:
            raise DataError(str(self.path), "JSON lines", disguise, "Name the file by what it holds.")
        chunks: dict[str, list[pa.Array]] = {}
        rows = 0
        for start, held in self._chunks():
            for name in held:
                chunks.setdefault(name, [pa.nulls(start)] if start else [])
            count = max((len(cells) for cells in held.values()), default=0)
            rows = start + count
            for name, arrays in chunks.items():
                arrays.append(array(held[name], self._shows(name)) if name in held else pa.nulls(count))
        if rows == 0:
            file.check_text()
            raise DataError(str(self.path), "one JSON object a line", "an empty file", "Check the export.")
        check_names(list(chunks), str(self.path))
        columns = {name: joined(arrays, self._shows(name)) for name, arrays in chunks.items()}
        return Raw(columns, rows, str(self.path), Places(lambda: (line for line, _ in self._objects())))

    def _chunks(self) -> Iterator[tuple[int, dict[str, list[Any]]]]:
        """First row and, by column, the values of up to CHUNK rows; every column as long as the chunk."""
        start, count = 0, 0
        held: dict[str, list[Any]] = {}
        for line, row in self._objects():
            for name, value in row.items():
                if name not in held:
                    held[name] = [None] * count
                if type(value) not in PLAIN:
                    raise DataError(
                        f"{self.path}, line {line:,}, column '{name}'", "a number, text, true, false or null",
                        f"a nested {'list' if isinstance(value, list) else 'object'}",
                        "Write its parts as columns of their own.",
                    )  # fmt: skip
                held[name].append(value)
            count += 1
            if len(row) != len(held):
                for cells in held.values():
                    if len(cells) < count:
                        cells.append(None)
            if count == CHUNK:
                yield start, held
                start, count, held = start + count, 0, {}
        if count:
            yield start, held

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line and object of every line that is not empty."""
        decoder = json.JSONDecoder(object_pairs_hook=_unique)
        for number, line in enumerate(text_lines(self._file()), start=1):
            if not line.isascii():
                try:
                    line.encode()
                except UnicodeEncodeError:
                    self._file().check_text()
            text = line.strip()
            if not text:
                continue
            where = f"{self.path}, line {number:,}"
            try:
                row = decoder.decode(text)
            except _Twice as error:
                raise DataError(where, "each key once", f"'{error}' twice", "Rename one of them.") from None
            except (ValueError, RecursionError) as error:
                raise DataError(
                    where, "one JSON object a line", str(error)[:80], "Correct or remove the line."
                ) from None
            if "\\ud" in text or "\\uD" in text:
                _check_surrogates(where, row)
            if not isinstance(row, dict):
                found = f"a {type(row).__name__}"
                raise DataError(where, "one JSON object a line", found, "Write each row as {column: value}.")
            yield number, row


class _Twice(ValueError):
    """A key stands twice in one object."""


def _check_surrogates(where: str, row: object) -> None:
    r"""Raises DataError where \ud83d stands without its second half."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(
            where, "text that UTF-8 can hold", "half of a surrogate pair", "Correct the escape in the text."
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return row
