"""Parquet: typed columns, read by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from pydantic import Field

from sixfold.core.errors import DataError, SixfoldError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import (
    Raw,
    RawPart,
    RawParts,
    check_count,
    check_names,
    table_bytes,
    table_in_words,
)
from sixfold.parts.file_cells import BUFFER_BYTES, holds_files, names
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

STEP_BYTES: Final = 64 << 20  # decoded at once
PART_BYTES: Final = 4 << 20  # of a part of a table that is read in parts
STEP_ROWS: Final = 1 << 20  # at most,
FEW_ROWS: Final = 1 << 14  # and of text that may be long and repeated
WIDTHS: Final = {
    "BOOLEAN": 1,
    "INT32": 4,
    "FLOAT": 4,
    "INT64": 8,
    "DOUBLE": 8,
    "INT96": 8,
    "FIXED_LEN_BYTE_ARRAY": 16,
}


class Settings(Section):
    """A Parquet file. Its types are taken as they are; text columns are looked at as in a CSV, and
    bytes as files (of images).
    """

    path: Path = Field(description="The file; .gz and .zip are unpacked in memory.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file; the recipe says nothing more about it."""
        return cls(path=path)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Every column with its own type. Raises DataError, or BudgetError."""
        limit = memory or MemoryLimit.of(None)
        with self._opened(limit, 0) as (stream, file):
            table, held = self._table(stream, file, limit), _files(file, self.path)
            all_names, rows = file.schema_arrow.names, file.metadata.num_rows
        read = dict(zip(table.column_names, table.columns, strict=True)) | held
        columns = {name: read[name] for name in all_names}
        return Raw(columns, rows, str(self.path), _place)

    def stream(self, memory: MemoryLimit | None = None) -> RawParts:
        """The same, some rows at a time."""
        return RawParts(self._parts(memory or MemoryLimit.of(None)), str(self.path), _place)

    def _parts(self, limit: MemoryLimit) -> Iterator[RawPart]:
        with self._opened(limit, BUFFER_BYTES) as (stream, file):
            check_count(file.metadata.num_columns, str(self.path))
            columns = _kept(file.schema_arrow)
            width = sum(_widths(file.metadata, columns))
            for batch in self._batches(
                stream, _Reading(file, columns, width, PART_BYTES, BUFFER_BYTES), limit
            ):
                cells = dict(zip(batch.schema.names, batch.columns, strict=True))
                absent = {
                    name: pa.nulls(batch.num_rows)
                    for name in file.schema_arrow.names
                    if name not in cells  # files
                }
                yield RawPart(cells | absent, batch.num_rows)

    @contextmanager
    def _opened(self, limit: MemoryLimit, buffer: int) -> Iterator[tuple[Any, Any]]:
        """The file's bytes, and what reads them: of a column so many at a time, or all of a row group's
        where `buffer` is 0. Raises DataError.
        """
        try:
            with (
                DataFile(self.path, memory=limit).seekable() as stream,
                pa.parquet.ParquetFile(stream, buffer_size=buffer, pre_buffer=not buffer) as file,
            ):
                if file.metadata.num_rows == 0:
                    raise DataError(str(self.path), "rows", "none", "Check the export.")
                check_names(file.schema_arrow.names, str(self.path))
                yield stream, file
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, SixfoldError):
                raise
            first = (str(error).splitlines() or ["no reason given"])[0][:120]
            raise DataError(
                str(self.path), "a Parquet file", first, "Write the file again."
            ) from None

    def _table(self, stream: Any, file: Any, memory: MemoryLimit) -> pa.Table:
        """All but columns of files. Raises BudgetError."""
        facts, where = file.metadata, str(self.path)
        check_count(facts.num_columns, where)
        columns = _kept(file.schema_arrow)
        width = sum(_widths(facts, columns))
        needed = max(facts.num_rows * width, table_bytes(facts.num_rows, facts.num_columns))
        memory.plan(where, table_in_words(facts.num_rows, facts.num_columns), int(needed))
        reading = _Reading(file, columns, width, STEP_BYTES)
        batches = list(self._batches(stream, reading, memory))
        return pa.Table.from_batches(batches) if batches else file.schema_arrow.empty_table()

    def _batches(
        self, stream: Any, reading: _Reading, memory: MemoryLimit
    ) -> Iterator[pa.RecordBatch]:
        """In steps of rows, because a file of a megabyte may hold 200 million equal ones. Raises
        BudgetError.
        """
        file, where = reading.file, str(self.path)
        step = max(1, min(STEP_ROWS, int(reading.step_bytes / max(1.0, reading.width))))
        repeated = _repeated(file.metadata, memory.left())
        if repeated:
            file, step = (
                pa.parquet.ParquetFile(
                    stream,
                    read_dictionary=repeated,
                    buffer_size=reading.buffer,
                    pre_buffer=not reading.buffer,
                ),
                min(step, FEW_ROWS),
            )
        for batch in file.iter_batches(batch_size=step, columns=reading.columns):
            yield _decoded(batch, repeated, memory, where)
            memory.check(where)


class _Reading(NamedTuple):
    """Which `columns` are read of a file (None: all), whose rows have `width` bytes in the mean, how
    many bytes at once; `buffer`: as of `_opened`.
    """

    file: Any
    columns: Sequence[str] | None
    width: float
    step_bytes: int
    buffer: int = 0


def _place(row: int) -> str:
    return f"row {row + 1:,}"


def _kept(schema: Any) -> Sequence[str] | None:
    """All but columns of files; None for all."""
    kept = [field.name for field in schema if not holds_files(field.type)]
    return None if len(kept) == len(schema) else kept


def _files(file: Any, path: Path) -> dict[str, pa.ChunkedArray]:
    """The columns whose cells are files: their names, as they are read one by one when they are
    needed.
    """
    rows = file.metadata.num_rows
    return {
        field.name: names(path, field.name, rows)
        for field in file.schema_arrow
        if holds_files(field.type)
    }


def _widths(facts: Any, columns: Sequence[str] | None) -> list[float]:
    """Mean bytes of a value of each column (None: of all) once it is decoded; of text what its
    pages hold, which is less where it repeats.
    """
    found = []
    for at in range(facts.num_columns):
        if columns is not None and facts.schema.column(at).path not in columns:
            continue
        kind = facts.schema.column(at).physical_type
        if kind in WIDTHS:
            found.append(float(WIDTHS[kind]))
            continue
        held = sum(
            facts.row_group(group).column(at).total_uncompressed_size
            for group in range(facts.num_row_groups)
        )
        found.append(4.0 + held / max(1, facts.num_rows))
    return found


def _repeated(facts: Any, left: int) -> list[str]:
    """Columns of text that would not fit into `left` bytes were every value as long as all of the
    column's pages.
    """
    found = []
    for at in range(facts.num_columns):
        if facts.schema.column(at).physical_type != "BYTE_ARRAY":
            continue
        held = max(
            facts.row_group(group).column(at).total_uncompressed_size
            for group in range(facts.num_row_groups)
        )
        if held * facts.num_rows > left:
            found.append(facts.schema.column(at).path)
    return found


def _decoded(
    batch: pa.RecordBatch, repeated: Sequence[str], memory: MemoryLimit, where: str
) -> pa.RecordBatch:
    """With text in place of its numbers in a dictionary, once there is memory for it. Raises
    BudgetError.
    """
    arrays = list(batch.columns)
    for at, name in enumerate(batch.schema.names):
        if name in repeated and pa.types.is_dictionary(arrays[at].type):
            words = arrays[at].dictionary
            needed = pc.sum(pc.take(pc.binary_length(words), arrays[at].indices)).as_py() or 0
            memory.plan(
                f"{where}, column '{name}'", f"{batch.num_rows:,} rows of text", int(needed)
            )
            arrays[at] = arrays[at].cast(words.type)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
