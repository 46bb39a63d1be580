"""Parquet: typed columns, read by pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from pydantic import Field

from sixfold.core.errors import DataError, SixfoldError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, check_count, check_names, table_bytes, table_in_words
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

STEP_BYTES: Final = 64 << 20  # decoded at once
STEP_ROWS: Final = 1 << 20  # at most,
FEW_ROWS: Final = 1 << 14  # and of text that may be long and repeated
WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, "FIXED_LEN_BYTE_ARRAY": 16}


class Settings(Section):
    """A Parquet file. Its types are taken as they are; text columns are looked at as in a CSV."""

    path: Path = Field(description="The file; .gz and .zip are unpacked in memory.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file; the recipe says nothing more about it."""
        return cls(path=path)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """Every column with its own type. Raises DataError, or BudgetError."""
        limit = memory or MemoryLimit.of(None)
        try:
            with DataFile(self.path, memory=limit).seekable() as stream, pa.parquet.ParquetFile(stream) as file:
                table = self._table(stream, file, limit)
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, SixfoldError):
                raise
            first = (str(error).splitlines() or ["no reason given"])[0][:120]
            raise DataError(str(self.path), "a Parquet file", first, "Write the file again.") from None
        if table.num_rows == 0:
            raise DataError(str(self.path), "rows", "none", "Check the export.")
        names = table.column_names
        check_names(names, str(self.path))
        columns = dict(zip(names, table.columns, strict=True))
        return Raw(columns, table.num_rows, str(self.path), lambda row: f"row {row + 1:,}")

    def _table(self, stream: Any, file: Any, memory: MemoryLimit) -> pa.Table:
        """In steps of rows, because a file of a megabyte may hold 200 million equal ones. Raises BudgetError."""
        facts, where = file.metadata, str(self.path)
        check_count(facts.num_columns, where)
        width = sum(_widths(facts))
        needed = max(facts.num_rows * width, table_bytes(facts.num_rows, facts.num_columns))
        memory.plan(where, table_in_words(facts.num_rows, facts.num_columns), int(needed))
        step = max(1, min(STEP_ROWS, int(STEP_BYTES / max(1.0, width))))
        repeated = _repeated(facts, memory.left())
        if repeated:
            file, step = pa.parquet.ParquetFile(stream, read_dictionary=repeated), min(step, FEW_ROWS)
        batches = []
        for batch in file.iter_batches(batch_size=step):
            batches.append(_decoded(batch, repeated, memory, where))
            memory.check(where)
        return pa.Table.from_batches(batches) if batches else file.schema_arrow.empty_table()


def _widths(facts: Any) -> list[float]:
    """Mean bytes of a value of each column once it is decoded; of text what its pages hold, which is less where it repeats."""
    found = []
    for at in range(facts.num_columns):
        kind = facts.schema.column(at).physical_type
        if kind in WIDTHS:
            found.append(float(WIDTHS[kind]))
            continue
        held = sum(facts.row_group(group).column(at).total_uncompressed_size for group in range(facts.num_row_groups))
        found.append(4.0 + held / max(1, facts.num_rows))
    return found


def _repeated(facts: Any, left: int) -> list[str]:
    """Columns of text that would not fit into `left` bytes were every value as long as all of the column's pages."""
    found = []
    for at in range(facts.num_columns):
        if facts.schema.column(at).physical_type != "BYTE_ARRAY":
            continue
        held = max(facts.row_group(group).column(at).total_uncompressed_size for group in range(facts.num_row_groups))
        if held * facts.num_rows > left:
            found.append(facts.schema.column(at).path)
    return found


def _decoded(batch: pa.RecordBatch, repeated: Sequence[str], memory: MemoryLimit, where: str) -> pa.RecordBatch:
    """With text in place of its numbers in a dictionary, once there is memory for it. Raises BudgetError."""
    arrays = list(batch.columns)
    for at, name in enumerate(batch.schema.names):
        if name in repeated and pa.types.is_dictionary(arrays[at].type):
            words = arrays[at].dictionary
            needed = pc.sum(pc.take(pc.binary_length(words), arrays[at].indices)).as_py() or 0
            memory.plan(f"{where}, column '{name}'", f"{batch.num_rows:,} rows of text", int(needed))
            arrays[at] = arrays[at].cast(words.type)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
