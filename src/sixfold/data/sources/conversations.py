"""Rows to fine-tune a language model on: conversations, prompts with completions, preferences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from sixfold.core.errors import DataError, SixfoldError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import Raw
from sixfold.data.sources import jsonl
from sixfold.parts.conversation import ALIKE, COLUMN, Preference, example_of, is_example, text_of
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

PARQUET: Final = "parquet"
ENDINGS: Final = frozenset({"jsonl", "ndjson", PARQUET})
HELD: Final = 3  # times its bytes that a file takes as text of its rows; guessed
STEP_ROWS: Final = 1_024  # of Parquet, as objects at once
CHECKED_ROWS: Final = 10_000  # after which memory is looked at


class Settings(Section):
    """A column `conversation`, from a file of JSON lines or Parquet whose rows are {messages, tools},
    {prompt, completion}, {prompt, chosen, rejected} or {input, preferred_output, non_preferred_output}:
    a file for OpenAI's fine-tuning as it is. Each row is read strictly. Parquet is read by pyarrow.
    """

    path: Path = Field(description="The file; .gz and .zip are read as they are.")
    encoding: str | None = Field(
        None, description="A codec of Python. Left out: UTF-8, or by a byte order mark."
    )
    dropped: tuple[str, ...] = Field((), description="Keys of the rows that are not looked at.")

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file, in the recipe's encoding; `data.drop` names keys that are not looked at."""
        return cls(path=path, encoding=data.read.encoding, dropped=data.drop)

    @classmethod
    def holds(cls, path: Path) -> bool:
        """Whether a file's first row has the keys of an example: of JSON lines or Parquet. What is wrong
        with the file is said by who reads it.
        """
        if not path.is_file() or DataFile(path).extension not in ENDINGS:
            return False
        try:
            first = next(iter(cls(path=path).rows(MemoryLimit.of(None))), None)
        except SixfoldError:
            return False
        row: Mapping[str, Any] = first[1] if isinstance(first, Sequence) else {}
        return is_example(row)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All rows. Raises DataError with the line and the place in it, or BudgetError."""
        limit = memory or MemoryLimit.of(None)
        limit.plan(str(self.path), "the whole file", HELD * self.path.stat().st_size)
        found, places, preferences = list[str](), list[str](), False
        for place, row in self.rows(limit):
            where = f"{self.path}, {place}"
            kept = {key: value for key, value in row.items() if key not in self.dropped}
            example = example_of(kept, where)
            if found and isinstance(example, Preference) != preferences:
                kinds = ("a preference", "an example of another kind")
                expected, other = kinds if preferences else kinds[::-1]
                raise DataError(where, f"{expected}, as the rows before", other, ALIKE)
            preferences = isinstance(example, Preference)
            found.append(text_of(example))
            places.append(place)
            if len(found) % CHECKED_ROWS == 0:
                limit.check(str(self.path))
        if not found:
            raise DataError(str(self.path), "rows", "none", "Check the export.")
        cells = pa.chunked_array([pa.array(found, pa.large_string())])
        where, dropped = str(self.path), self.dropped
        return Raw({COLUMN: cells}, len(found), where, places.__getitem__, dropped=dropped)

    def rows(self, limit: MemoryLimit) -> Iterator[Any]:
        """Place ("line 7") and content of each row."""
        if DataFile(self.path).extension == PARQUET:
            return self._parquet(limit)
        lines = jsonl.Settings(path=self.path, encoding=self.encoding).objects()
        return ((f"line {number:,}", row) for number, row in lines)

    def _parquet(self, limit: MemoryLimit) -> Iterator[Any]:
        try:
            with (
                DataFile(self.path, memory=limit).seekable() as stream,
                pa.parquet.ParquetFile(stream) as file,
            ):
                number = 0
                for batch in file.iter_batches(batch_size=STEP_ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"row {number:,}", row
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, SixfoldError | pa.ArrowMemoryError):
                raise
            first = (str(error).splitlines() or ["no reason given"])[0][:120]
            raise DataError(
                str(self.path), "a Parquet file", first, "Write the file again."
            ) from None
