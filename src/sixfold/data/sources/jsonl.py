"""JSON lines: one object a line. .jsonl, .ndjson."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_names
from sixfold.data.sources._lines import Places, check_utf8, text_lines
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

CHUNK: Final = 65_536  # rows held as Python objects at once; guessed
EXACT: Final = 2**53  # whole numbers up to here are numbers of double precision, too
PLAIN: Final = (str, int, float, bool, type(None))


class Settings(Section):
    """One JSON object a line; its keys are the columns, a key that is absent is a missing value.

    Values are numbers, text, true, false or null; NaN is read as missing.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file; the recipe says nothing more about it."""
        return cls(path=path)

    def read(self) -> Raw:
        """Columns typed where all values are of one type, text where they are mixed. Raises DataError with the line."""
        file = DataFile(self.path)
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
                arrays.append(_array(held[name]) if name in held else pa.nulls(count))
        if rows == 0:
            check_utf8(file)
            raise DataError(str(self.path), "one JSON object a line", "an empty file", "Check the export.")
        check_names(list(chunks), str(self.path))
        columns = {name: _joined(arrays) for name, arrays in chunks.items()}
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
        for number, line in enumerate(text_lines(DataFile(self.path)), start=1):
            if not line.isascii():
                try:
                    line.encode()
                except UnicodeEncodeError:
                    check_utf8(DataFile(self.path))
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


def _array(cells: list[Any]) -> pa.Array:
    """Booleans, whole numbers, numbers or text, whichever holds all values exactly."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return pa.array(cells, pa.int64())
    if kinds and kinds <= {int, float} and all(abs(cell) <= EXACT for cell in cells if type(cell) is int):
        return pa.array(cells, pa.float64())
    if len(kinds) <= 1 and kinds != {int}:
        return pa.array(cells)
    return pa.array([_spelled(cell) for cell in cells], pa.string())


def _spelled(cell: Any) -> str | None:
    """As text; a whole number of more digits than Python writes is as good as infinite."""
    text = None if cell is None else values.spell(cell)
    return ("inf" if cell > 0 else "-inf") if text is None and cell is not None else text


def _joined(arrays: list[pa.Array]) -> pa.ChunkedArray:
    """Chunks of one type: whole numbers give way to numbers that hold them exactly, everything else to text."""
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    if not kinds:
        return pa.chunked_array(arrays, pa.null())
    numbers = kinds == {pa.int64(), pa.float64()} and all(map(_exact, arrays))
    one = kinds.pop() if len(kinds) == 1 else pa.float64() if numbers else pa.string()
    return pa.chunked_array([_as(array, one) for array in arrays], one)


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    if kind == pa.string() and not pa.types.is_null(array.type):
        return pa.array([_spelled(cell) for cell in array.to_pylist()], kind)
    return array.cast(kind, safe=False)


def _exact(array: pa.Array) -> bool:
    """Whether a number of double precision holds every whole number."""
    if array.type != pa.int64():
        return True
    bounds = pc.min_max(array)
    return all(cell is None or abs(cell) <= EXACT for cell in (bounds["min"].as_py(), bounds["max"].as_py()))
