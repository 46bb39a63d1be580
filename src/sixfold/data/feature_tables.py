"""What is known of users and of items (`data.users`, `data.items`): a table each, a row of each user or item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sixfold.core import values
from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data.columns import Reading, read, texts
from sixfold.data.file_columns import is_of_files
from sixfold.data.source import Raw, find
from sixfold.parts.interactions import ITEM, USER
from sixfold.parts.table import Column, Dataset, KeyedTable, Table
from sixfold.recipe.interactions import InteractionColumns
from sixfold.recipe.schema import Data
from sixfold.recipe.table_files import FeatureTable, TableFile

TAKEN: Final = frozenset({"number", "category", "boolean", "date", "text"})
SHOWN: Final = 8  # columns in a sentence


def with_features(dataset: Dataset, data: Data, base: Path, memory: MemoryLimit) -> Dataset:
    """The interactions with the tables that the recipe names beside them; paths are relative to `base`. Raises
    DataError, BudgetError.
    """
    named = data.interactions or InteractionColumns()
    asked = {USER: (data.users, named.user), ITEM: (data.items, named.item)}
    sides, notes = {}, []
    for part, (table, column) in asked.items():
        if table is None:
            continue
        found = _FeatureRows.of(f"data.{part}s", table, data, base, memory)
        sides[part] = found.keyed(table.key or column, dataset.table.columns[part])
        notes.append(_told(part, sides[part], dataset.table.columns[part]))
    if not sides:
        return dataset
    whole = replace(dataset.table, sides=sides)
    return replace(dataset, table=whole, notes=(*dataset.notes, *notes))


class _FeatureRows:
    """A table as it was read. `where`: the key of the recipe."""

    def __init__(self, where: str, asked: FeatureTable, raw: Raw, reading: Reading) -> None:
        self.where, self.asked, self.raw, self.reading = where, asked, raw, reading

    @classmethod
    def of(
        cls, where: str, asked: FeatureTable, data: Data, base: Path, memory: MemoryLimit
    ) -> _FeatureRows:
        """Raises DataError, BudgetError."""
        kept = asked.model_dump(include=set(TableFile.model_fields))
        section = Data(**kept, missing=data.missing)
        raw = find(section, base, "recommendation").read(memory)
        missing = frozenset({"", *data.missing})
        return cls(where, asked, raw, Reading(missing, raw.where, raw.place, data.missing))

    def keyed(self, key: str, of: Column) -> KeyedTable:
        """By the names of a column of the interactions, `of`. Raises DataError for a name that is missing or stands
        twice, and where no column is left.
        """
        for name in (key, *self.asked.types, *self.asked.drop):
            if name not in self.raw.columns:
                raise DataError(
                    f"{self.raw.where}, {self.where}",
                    "the name of a column",
                    f"'{name}'",
                    did_you_mean(name, self.raw.columns),
                )
        keys = self._keys(key, of)
        columns = {}
        for name, cells in self.raw.columns.items():
            if name != key and name not in self.asked.drop:
                made = self._column(name, cells)
                if made is not None:
                    columns[name] = made
        if not columns:
            raise DataError(
                f"{self.raw.where}, {self.where}",
                f"a column besides '{key}' that can be used",
                "none",
                "Name one in types, or leave the table out.",
            )
        return KeyedTable(keys, Table(columns, len(keys) + 1), self.asked.source)

    def _keys(self, key: str, of: Column) -> tuple[str, ...]:
        held = texts(key, self.raw.columns[key], self.reading)
        place = f"a name, as the column is the key of {self.where}"
        if (held.codes < 0).any():
            row = int(np.argmax(held.codes < 0))
            raise DataError(self.reading.at(row, key), place, "a missing one", "Leave the row out.")
        meant = [values.level(text, of.level_type) for text in held.levels]
        keys = tuple(meant[code] for code in held.codes.tolist())
        seen: set[str] = set()
        for row, name in enumerate(keys):
            if name in seen:
                raise DataError(
                    self.reading.at(row, key),
                    f"each name once, as the column is the key of {self.where}",
                    f"'{name}' again",
                    "Leave one of the rows out.",
                )
            seen.add(name)
        return keys

    def _column(self, name: str, cells: Any) -> Column | None:
        """With a missing value behind the last row. None for one that says nothing: an identifier, or no value."""
        asked = self.asked.types.get(name)
        reading = replace(self.reading, format=self.asked.read.format_of(name))
        made = None if is_of_files(cells) else read(name, cells, asked, reading)
        if made is None or made.column.kind not in (*TAKEN, "identifier"):
            raise DataError(
                f"{self.raw.where}, column '{name}'",
                f"one of {', '.join(sorted(TAKEN))}, of {self.where}",
                "files" if made is None else made.column.kind,
                f"List it under {self.where}.drop, or say what it is under {self.where}.types.",
            )
        column = made.column
        if made.empty or column.kind == "identifier":
            return None
        last = np.nan if column.is_float else -1
        held = np.append(column.values, np.array([last], dtype=column.values.dtype))
        return Column(column.kind, held, column.levels, column.level_type)


def _told(part: str, side: KeyedTable, column: Column) -> str:
    names = list(side.table.columns)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    used = {column.levels[code] for code in np.unique(column.values).tolist()}
    known, more_keys = len(used & set(side.keys)), len(side.keys) - len(used & set(side.keys))
    some = "all" if known == len(used) else f"{known:,} of the"
    said = (
        f"Of {part}s {', '.join(names[:SHOWN])}{more} ({side.source}): {some} {counted(len(used), part)} that occur "
        "are in it"
    )
    if not more_keys:
        return f"{said}."
    told = "which nobody had: they are candidates, too" if part == ITEM else "who did nothing"
    return f"{said}, and {more_keys:,} more, {told}."
