"""What a language model learns from: one column of texts, each row a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data.columns import Read, Reading, texts
from sixfold.data.source import Raw, RawPart, RawParts, StoredCells, StreamsRows
from sixfold.data.target import FoundTarget
from sixfold.parts.conversation import COLUMN, holds_preferences, learned_text
from sixfold.parts.stored_texts import StoredTexts, store_texts
from sixfold.parts.table import LOSS_SUMS, MARGIN, Column, FloatArray, Target
from sixfold.recipe.schema import Data

TEXT: Final = "text"  # what the column is called, as in files of this kind everywhere
ALPHABET: Final = 256  # bytes


def text_column(names: Sequence[str], data: Data, where: str) -> str:
    """The column of documents: the one whose type is text by the recipe, or that is called `text`, or
    the only one. Raises DataError where there are several, RecipeError for two types.
    """
    said = [name for name, kind in data.types.items() if kind == "text"]
    if len(said) > 1:
        raise RecipeError(
            "data.types",
            "one column of text for task: generation",
            ", ".join(said[:3]),
            "Name one.",
        )
    left = [name for name in names if name not in {data.group, data.time, *data.drop}]
    found = said or [name for name in left if name == TEXT] or left
    if len(found) == 1:
        return found[0]
    raise DataError(
        where,
        f"a column '{TEXT}', or one column in all, to learn from",
        ", ".join(f"'{name}'" for name in found[:5]) or "none",
        "Say which: data.types: {COLUMN: text}.",
    )


def document_target(name: str, column: Column, where: str) -> FoundTarget:
    """The sums that models of texts are scored by; rows without a text are left out. `column`: of
    text. Raises DataError where no row has one.
    """
    rows = np.flatnonzero(column.values >= 0)
    if len(rows) == 0:
        raise DataError(where, "documents", "none that is not empty", "Check the export.")
    own = _learned_bytes(name, column.levels)[column.values[rows]]
    sums = np.stack([(own + 1) * np.log(ALPHABET + 1), own + 1, own], axis=1)
    kind, what = ("example", "answers of ") if name == COLUMN else ("document", "")
    notes = (
        f"A language model is learned from '{name}': {counted(len(rows), kind)}, {what}"
        f"{own.sum():,.0f} bytes in UTF-8, {np.median(own):,.0f} in the median and {own.max():,.0f} at most."
    )
    names: tuple[str, ...] = LOSS_SUMS
    if name == COLUMN and holds_preferences(column.levels):  # equally likely: a margin of 0
        sums, names = np.pad(sums, [(0, 0), (0, 1)]), (*LOSS_SUMS, MARGIN)
    return FoundTarget(Target("generation", sums, names), rows, (notes,))


def _learned_bytes(name: str, levels: Sequence[str]) -> FloatArray:
    """Of each text, in UTF-8."""
    if isinstance(levels, StoredTexts) and name != COLUMN:
        return levels.lengths.astype(np.float64)
    learned = map(learned_text, levels) if name == COLUMN else levels
    sizes = (len(text.encode("utf-8", "surrogatepass")) for text in learned)
    return np.fromiter(sizes, dtype=np.float64, count=len(levels))


def stored_rows(source: StreamsRows, data: Data, memory: MemoryLimit) -> Raw:
    """The rows of a source, of which the documents go to the disk as they come; of other columns
    those stay that the recipe names as group or time, and of the rest the names. Raises DataError,
    RecipeError, BudgetError.
    """
    name: str | None = None
    while True:
        rows = _PassingRows(source.stream(memory), data, name)
        stored = store_texts(rows.texts())
        name = text_column(list(rows.names), data, rows.parts.where)
        if rows.text == name:
            return rows.raw(stored)
        # A column that only later rows have: now it is known from the first one on.


def stored_column(name: str, cells: Any, reading: Reading) -> StoredCells:
    """A column that was read into memory, on disk."""
    if isinstance(cells, StoredCells):
        return cells
    held = texts(name, cells, reading)
    words = (*held.levels, "")
    return StoredCells(store_texts(words[code] for code in held.codes), held.tokens)


def joined_columns(first: StoredCells, second: StoredCells) -> StoredCells:
    """One below the other."""
    return StoredCells(store_texts(chain(first.texts, second.texts)), first.tokens | second.tokens)


def read_stored(cells: StoredCells) -> Read:
    """As a column of text."""
    levels, codes = cells.texts.distinct()
    return Read(Column("text", codes, levels), cells.tokens)


@dataclass
class _PassingRows:
    """`text`: the column of documents, as far as is known; `names`: of all columns that came, and of
    those that stay the cells of each part.
    """

    parts: RawParts
    data: Data
    text: str | None
    names: dict[str, list[pa.Array]] = field(default_factory=dict)
    rows: int = 0
    tokens: set[str] = field(default_factory=set)

    def texts(self) -> Iterator[str]:
        """Of all rows, one by one, empty where one is missing."""
        missing = frozenset({"", *self.data.missing})
        reading = Reading(missing, self.parts.where, self.parts.place, self.data.missing)
        for part in self.parts.parts:
            self._keep(part)
            if self.text is None:
                self.text = self._likely()
            if self.text is None or self.text in (self.data.group, self.data.time):
                cells = pa.nulls(part.rows)
            else:
                cells = part.columns.get(self.text, pa.nulls(part.rows))
            held = texts(self.text or TEXT, pa.chunked_array([cells]), reading)
            self.tokens |= held.tokens
            words = (*held.levels, "")
            yield from (words[code] for code in held.codes)

    def raw(self, stored: StoredTexts) -> Raw:
        """All that came, with the documents as they are `stored`."""
        columns: dict[str, Any] = {
            name: self.parts.joined(name, own) if own else pa.chunked_array([], pa.null())
            for name, own in self.names.items()
        }
        if self.text is not None and self.text not in (self.data.group, self.data.time):
            columns[self.text] = StoredCells(stored, frozenset(self.tokens))
        parts = self.parts
        return Raw(columns, self.rows, parts.where, parts.place, dropped=parts.dropped)

    def _likely(self) -> str | None:
        """By the columns that came so far."""
        try:
            return text_column(list(self.names), self.data, self.parts.where)
        except DataError:
            return None

    def _keep(self, part: RawPart) -> None:
        for name in part.columns:
            self.names.setdefault(name, [])
        for name in filter(None, (self.data.group, self.data.time)):
            own = self.names.get(name)
            if own is None:
                continue
            if not own and self.rows:
                own.append(pa.nulls(self.rows))
            own.append(part.columns.get(name, pa.nulls(part.rows)))
        self.rows += part.rows
