"""Rows to fine-tune a language model on: conversations, prompts with completions, preferences."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from sixfold.core.errors import DataError, SixfoldError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.source import Raw, RawParts, parts_of_texts
from sixfold.data.sources import jsonl
from sixfold.parts.conversation import ALIKE, COLUMN, Preference, example_of, is_example, text_of
from sixfold.parts.file_cells import BUFFER_BYTES
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
        return first is not None and is_example(first[1])

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All rows. Raises DataError with the line and the place in it, or BudgetError."""
        limit = memory or MemoryLimit.of(None)
        limit.plan(str(self.path), "the whole file", HELD * self.path.stat().st_size)
        return self.stream(limit).whole()

    def stream(self, memory: MemoryLimit | None = None) -> RawParts:
        """The same, a few at a time."""
        numbers = array("q")
        texts = self._texts(numbers, memory or MemoryLimit.of(None))
        return RawParts(
            parts_of_texts(COLUMN, texts),
            str(self.path),
            lambda row: f"{self._unit} {numbers[row]:,}",
            dropped=self.dropped,
        )

    def _texts(self, numbers: array[int], limit: MemoryLimit) -> Iterator[str]:
        """Each row as text; its number goes into `numbers`."""
        preferences = False
        for number, row in self.rows(limit):
            where = f"{self.path}, {self._unit} {number:,}"
            kept = {key: value for key, value in row.items() if key not in self.dropped}
            example = example_of(kept, where)
            if numbers and isinstance(example, Preference) != preferences:
                kinds = ("a preference", "an example of another kind")
                expected, other = kinds if preferences else kinds[::-1]
                raise DataError(where, f"{expected}, as the rows before", other, ALIKE)
            preferences = isinstance(example, Preference)
            numbers.append(number)
            yield text_of(example)
            if len(numbers) % CHECKED_ROWS == 0:
                limit.check(str(self.path))
        if not numbers:
            raise DataError(str(self.path), "rows", "none", "Check the export.")

    @property
    def _unit(self) -> str:
        """What of the file a row is."""
        return "row" if DataFile(self.path).extension == PARQUET else "line"

    def rows(self, limit: MemoryLimit) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of the line, or of the row in Parquet, and content of each row."""
        if DataFile(self.path).extension == PARQUET:
            return self._parquet(limit)
        return jsonl.Settings(path=self.path, encoding=self.encoding).objects()

    def _parquet(self, limit: MemoryLimit) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with (
                DataFile(self.path, memory=limit).seekable() as stream,
                pa.parquet.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False) as file,
            ):
                batches = file.iter_batches(batch_size=STEP_ROWS)
                rows = (row for batch in batches for row in batch.to_pylist())
                yield from enumerate(rows, start=1)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, SixfoldError | pa.ArrowMemoryError):
                raise
            first = (str(error).splitlines() or ["no reason given"])[0][:120]
            raise DataError(
                str(self.path), "a Parquet file", first, "Write the file again."
            ) from None
