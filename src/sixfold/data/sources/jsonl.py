"""JSON lines: one object a line. .jsonl, .ndjson."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, RawPart, RawParts, check_count, check_names, table_in_words
from sixfold.data.sources._lines import Places, text_lines
from sixfold.data.sources._typed import Show, array, joined, shows
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

CHUNK: Final = 65_536  # rows held as Python objects at once,
CHUNK_VALUES: Final = 2_000_000  # and values of them: about 150 MB; guessed
CHUNK_CHARACTERS: Final = 4 << 20  # and characters of text among them
ASKED_CELLS: Final = 1_000_000  # of the table, after which its memory is asked for again: 8 MB
PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class Settings(Section):
    """One JSON object a line; its keys are the columns, a key that is absent is a missing value.

    Values are numbers, text, true, false or null; NaN is read as missing.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")
    encoding: str | None = Field(
        None, description="A codec of Python. Left out: UTF-8, or by a byte order mark."
    )
    marks: ReadFile = Field(
        default_factory=ReadFile, description="Of numbers, in columns that hold text as well."
    )

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file, in the recipe's encoding."""
        return cls(path=path, encoding=data.read.encoding, marks=data.read)

    def _file(self, memory: MemoryLimit | None = None) -> DataFile:
        return DataFile(self.path, self.encoding, memory)

    def _shows(self, name: str) -> Show:
        return shows(self.marks.format_of(name))

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Columns typed where all values are of one type, text where they are mixed. Raises
        DataError with the line, or BudgetError.
        """
        limit = memory or MemoryLimit.of(None)
        limit.plan(str(self.path), "the whole file", self.path.stat().st_size)
        return self.stream(limit).whole()

    def stream(self, memory: MemoryLimit | None = None) -> RawParts:
        """The same, some rows at a time; a column has the type of these."""
        return RawParts(
            self._parts(memory or MemoryLimit.of(None)),
            str(self.path),
            Places(lambda: (line for line, _ in self.objects())),
            lambda name, arrays: joined(list(arrays), self._shows(name)),
        )

    def _parts(self, limit: MemoryLimit) -> Iterator[RawPart]:
        file = self._file(limit)
        with file.open() as stream:
            disguise = file.disguise(stream)
        if disguise:
            raise DataError(
                str(self.path), "JSON lines", disguise, "Name the file by what it holds."
            )
        names, rows = dict[str, None](), 0
        for chunk in self._chunks(file, limit):
            names |= dict.fromkeys(chunk.cells)
            rows += chunk.rows
            cells = {name: chunk.array(name, self._shows(name)) for name in chunk.cells}
            yield RawPart(cells, chunk.rows)
            limit.check(str(self.path))
        if rows == 0:
            file.check_text()
            raise DataError(
                str(self.path), "one JSON object a line", "an empty file", "Check the export."
            )
        check_names(list(names), str(self.path))

    def _chunks(self, file: DataFile, memory: MemoryLimit) -> Iterator[_Chunk]:
        """Up to CHUNK rows or CHUNK_VALUES values of them at once. Raises DataError,
        BudgetError.
        """
        chunk, names, asked = _Chunk(), set[str](), 0
        for rows, (line, row) in enumerate(self.objects(file), start=1):
            if not PLAIN.issuperset(map(type, row.values())):
                raise self._nested(line, row)
            chunk.add(row)
            names.update(row)
            if (
                rows * len(names) > asked + ASKED_CELLS
            ):  # each of another key: few values, and a table of many cells
                asked = rows * len(names)
                check_count(len(names), str(self.path))
                memory.plan(str(self.path), table_in_words(rows, len(names)) + " so far", 8 * asked)
            full = chunk.values >= CHUNK_VALUES or chunk.characters >= CHUNK_CHARACTERS
            if chunk.rows == CHUNK or full:
                yield chunk
                chunk = _Chunk()
        if chunk.rows:
            yield chunk

    def _nested(self, line: int, row: dict[str, Any]) -> DataError:
        name = next(name for name, value in row.items() if type(value) not in PLAIN)
        return DataError(
            f"{self.path}, line {line:,}, column '{name}'",
            "a number, text, true, false or null",
            f"a nested {'list' if isinstance(row[name], list) else 'object'}",
            "Write its parts as columns of their own.",
        )

    def objects(self, file: DataFile | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line and object of every line that is not empty."""
        decoder = json.JSONDecoder(object_pairs_hook=_unique)
        for number, line in enumerate(text_lines(file or self._file()), start=1):
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
                raise DataError(
                    where, "each key once", f"'{error}' twice", "Rename one of them."
                ) from None
            except (ValueError, RecursionError) as error:
                raise DataError(
                    where, "one JSON object a line", str(error)[:80], "Correct or remove the line."
                ) from None
            if "\\ud" in text or "\\uD" in text:
                _check_surrogates(where, row)
            if not isinstance(row, dict):
                found = f"a {type(row).__name__}"
                raise DataError(
                    where, "one JSON object a line", found, "Write each row as {column: value}."
                )
            yield number, row


class _Chunk:
    """Some rows, column by column: the positions of those that have the key, and their values."""

    def __init__(self) -> None:
        self.cells: dict[str, tuple[list[int], list[Any]]] = {}
        self.rows, self.values, self.characters = 0, 0, 0

    def add(self, row: dict[str, Any]) -> None:
        """One more row."""
        for name, value in row.items():
            held = self.cells.get(name)
            if held is None:
                held = self.cells[name] = ([], [])
            held[0].append(self.rows)
            held[1].append(value)
            if isinstance(value, str):
                self.characters += len(value)
        self.rows += 1
        self.values += len(row)

    def array(self, name: str, show: Show) -> pa.Array:
        """A column, as long as the chunk."""
        if name not in self.cells:
            return pa.nulls(self.rows)
        positions, values = self.cells[name]
        made = array(values, show)
        if len(values) == self.rows:
            return made
        at = np.full(self.rows, -1)
        at[positions] = np.arange(len(values))
        return made.take(pa.array(at, mask=at < 0))


class _Twice(ValueError):
    """A key stands twice in one object."""


def _check_surrogates(where: str, row: object) -> None:
    r"""Raises DataError where \ud83d stands without its second half."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(
            where,
            "text that UTF-8 can hold",
            "half of a surrogate pair",
            "Correct the escape in the text.",
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return row
