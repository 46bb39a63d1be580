"""The door of step 0: a recipe's `data` section, or a DataFrame, in; a Dataset with all that was
noticed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from sixfold.core.errors import DataError, RecipeError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data import row_numbers, row_weights
from sixfold.data.checks import checked
from sixfold.data.columns import Read, Reading, levels_of, read, texts
from sixfold.data.documents import (
    document_target,
    read_stored,
    stored_column,
    stored_rows,
    text_column,
)
from sixfold.data.feature_tables import with_features
from sixfold.data.file_columns import is_of_files, read_files
from sixfold.data.frame import from_pandas
from sixfold.data.interactions import interaction_dataset
from sixfold.data.notes import Notes, odd_tokens
from sixfold.data.source import Raw, StoredCells, StreamsRows, find
from sixfold.data.target import FoundTarget, column_target, reconstruction_target, value_targets
from sixfold.data.times import read_times, refuse_missing
from sixfold.parts.table import Column, ColumnKind, Dataset, FloatArray, IntArray, Table, Task
from sixfold.recipe.grouping import group_in, grouping_alone
from sixfold.recipe.schema import Data

PLANNED_ROWS = 50_000  # from which a column's memory is asked for
COLUMN_BYTES = (
    16  # of a value while its column is read: as a double, and once more; derived, rather less
)
UNLABELLED: Final = frozenset(
    {"reconstruction", "generation", "recommendation"}
)  # tasks without a target


def load(data: Data, task: Task | None, base: Path, memory: MemoryLimit | None = None) -> Dataset:
    """All rows of `data.source` (relative paths from `base`), with the task inferred unless given.

    `notes` and `warnings` hold a sentence for everything that was decided or looks wrong. `memory`:
    what may be taken; None is a share of the machine's. Raises DataError with the line, RecipeError
    where the recipe names what is not there, or BudgetError for a table that takes more.
    """
    memory = memory or MemoryLimit.of(None)
    found = dataset_of(read_rows(data, task, base, memory), data, task, memory)
    return with_features(found, data, base, memory)


def read_rows(data: Data, task: Task | None, base: Path, memory: MemoryLimit) -> Raw:
    """The rows of `data.source`; texts that a language model learns are on disk where the source
    gives its rows in parts.
    """
    source = find(data, base, task)
    if task == "generation" and isinstance(source, StreamsRows):
        return stored_rows(source, data, memory)
    return source.read(memory)


def from_frame(frame: pd.DataFrame, data: Data, task: Task | None) -> Dataset:
    """The same for a pandas DataFrame; `data.source` is not looked at, the index is no column.
    Raises DataError.
    """
    found = dataset_of(from_pandas(frame), data, task)
    return with_features(found, data, Path(), MemoryLimit.of(None))


def table_like(
    frame: pd.DataFrame, kinds: Mapping[str, ColumnKind], missing: Sequence[str]
) -> Table:
    """The columns `kinds` of a pandas DataFrame, read as columns of these kinds. Raises DataError for one that
    is not there, or holds what is none of its kind.
    """
    raw = from_pandas(frame)
    reading = Reading(frozenset({"", *missing}), raw.where, raw.place, tuple(missing))
    columns = {}
    for name, kind in kinds.items():
        if name not in raw.columns:
            remedy = did_you_mean(name, raw.columns)
            raise DataError(raw.where, f"the column '{name}'", "no such column", remedy)
        columns[name] = _read(name, raw.columns[name], kind, reading).column
    return Table(columns, raw.rows)


def dataset_of(
    raw: Raw, data: Data, task: Task | None, memory: MemoryLimit | None = None
) -> Dataset:
    """The columns of a source, which are taken out of it one by one, as a dataset. Raises
    DataError, RecipeError, BudgetError.
    """
    if raw.dropped:
        data = data.model_copy(
            update={"drop": tuple(name for name in data.drop if name not in raw.dropped)}
        )
    _check_names(raw, data, task)
    reading = Reading(frozenset({"", *data.missing}), raw.where, raw.place, data.missing)
    if task == "generation":
        data = _of_documents(raw, data, reading)
    if task == "recommendation":
        return interaction_dataset(raw, data, reading)
    fields = () if data.header else tuple(raw.columns)
    named = _named_columns(raw, data, task, reading)
    notes = Notes(warnings=odd_tokens(data.missing))
    columns = _read_features(raw, data, reading, notes, memory)
    numbers = _without_row_numbers(columns, data, raw)
    if not columns:
        raise DataError(
            raw.where,
            "at least one column to predict from",
            "none that can be used",
            "Look at data.drop and data.types.",
        )
    found = named.target or _own_target(columns, task, raw.where)
    weighed = row_weights.weighed(found, data.weight, named.weights, raw)
    sentences = (
        notes.overview(raw.rows, columns),
        *notes.unused(data),
        *numbers.notes,
        *notes.compared(),
        *notes.described,
        *weighed.notes,
        *_left_out(found, raw),
    )
    warnings = (
        *raw.warnings,
        *weighed.warnings,
        *notes.warnings,
        *notes.marks_together(),
        *numbers.warnings,
        *notes.without_values(),
    )
    table, target = Table(columns, raw.rows), weighed.target
    whole = Dataset(table, target, named.groups, named.times, sentences, warnings, fields=fields)
    return checked(_at_rows(whole, found.rows, raw), data)


class NamedColumns(NamedTuple):
    """What is read of the columns that the recipe names: of all rows but for the target."""

    target: FoundTarget | None
    groups: IntArray | None
    times: FloatArray | None
    weights: FloatArray | None


def _named_columns(raw: Raw, data: Data, task: Task | None, reading: Reading) -> NamedColumns:
    """None for what the recipe does not name."""
    target, groups, times, weights = _asked_target(raw, data, task, reading), None, None, None
    if data.group is not None:
        groups = _groups(data, raw.columns[data.group], reading)
    if data.time is not None:
        own = _of(reading, data, data.time)
        times = read_times(data.time, raw.columns[data.time], own)
    if data.weight is not None:
        own = _of(reading, data, data.weight)
        weights = row_weights.read_weights(data.weight, raw.columns[data.weight], own)
    return NamedColumns(target, groups, times, weights)


def _read_features(
    raw: Raw, data: Data, reading: Reading, notes: Notes, memory: MemoryLimit | None
) -> dict[str, Column]:
    """The columns to predict from; all columns are taken out of `raw`."""
    alone = grouping_alone(data.group, data.group_pattern)
    unused = {*data.targets, alone, data.weight, *data.drop}
    columns: dict[str, Column] = {}
    for name in list(raw.columns):
        _plan_column(raw, name, memory)
        cells = raw.columns.pop(name)  # its memory is free as soon as it is read
        if name not in unused:
            made = _read(name, cells, _asked(name, data), _of(reading, data, name))
            if notes.add(name, made):
                columns[name] = made.column
    return columns


def _asked_target(raw: Raw, data: Data, task: Task | None, reading: Reading) -> FoundTarget | None:
    """The column that the recipe names, or the columns."""
    if isinstance(data.target, str):
        kind, own = _asked(data.target, data), _of(reading, data, data.target)
        return column_target(data.target, raw.columns[data.target], task, kind, own)
    if data.target is None:
        return None
    asked = {name: _of(reading, data, name) for name in data.target}
    return value_targets({name: raw.columns[name] for name in asked}, task, asked)


def _read(name: str, cells: Any, asked: ColumnKind | None, reading: Reading) -> Read:
    """As what the cells are: texts on disk, files, or values."""
    if isinstance(cells, StoredCells):
        return read_stored(cells)
    return (read_files if is_of_files(cells) else read)(name, cells, asked, reading)


def _of_documents(raw: Raw, data: Data, reading: Reading) -> Data:
    """The section with one column of text, and no other, to learn from; the column goes to the disk."""
    text = text_column(list(raw.columns), data, raw.where)
    if text not in (data.group, data.time):
        raw.columns[text] = stored_column(text, raw.columns[text], reading)
    others = tuple(name for name in raw.columns if name not in (text, data.group))
    return data.model_copy(update={"types": {**data.types, text: "text"}, "drop": others})


def _own_target(columns: dict[str, Column], task: Task | None, where: str) -> FoundTarget:
    """What is learned where no column is the target."""
    if task == "generation":
        ((name, column),) = columns.items()
        return document_target(name, column, where)
    return reconstruction_target(columns, where)


def _plan_column(raw: Raw, name: str, memory: MemoryLimit | None) -> None:
    """Its values once more, as numbers or codes, and what finds them. Of few rows that is less than
    asking is worth.
    """
    if memory is not None and raw.rows >= PLANNED_ROWS:
        memory.plan(
            f"{raw.where}, column '{name}'",
            f"a column of {raw.rows:,} rows",
            COLUMN_BYTES * raw.rows,
        )


def _without_row_numbers(
    columns: dict[str, Column], data: Data, raw: Raw
) -> row_numbers.FoundRowNumbers:
    """Take the columns that only number the rows out of `columns`."""
    found = row_numbers.find(columns, data, raw.nameless)
    for name in found.columns:
        del columns[name]
    return found


def _of(reading: Reading, data: Data, name: str) -> Reading:
    """With the marks of the column's numbers."""
    found = data.read.format_of(name)
    return reading if found == reading.format else replace(reading, format=found)


def _asked(name: str, data: Data) -> ColumnKind | None:
    """The kind that the recipe gives a column: by its type, or because it says how its numbers are
    written.
    """
    return data.types.get(name) or ("number" if name in data.read.columns else None)


def _at_rows(dataset: Dataset, rows: IntArray, raw: Raw) -> Dataset:
    """The dataset at the rows that have a target (its target is at these rows already)."""
    if len(rows) < 2:
        raise DataError(raw.where, "at least two rows with a target", f"{len(rows)}", "Add rows.")
    if len(rows) == raw.rows:
        return dataset
    return replace(
        dataset,
        table=dataset.table.take(rows),
        groups=None if dataset.groups is None else dataset.groups[rows],
        times=None if dataset.times is None else dataset.times[rows],
    )


def _check_names(raw: Raw, data: Data, task: Task | None) -> None:
    """Every column that the recipe names is there, and no column plays two parts. Raises
    RecipeError or DataError.
    """
    if data.target is None and task not in UNLABELLED:
        raise RecipeError(
            "data.target",
            "the column to predict",
            "nothing",
            f"Name one of: {', '.join(raw.columns)}; or say task: reconstruction, generation (a language model) or "
            "recommendation.",
        )
    if data.target is not None and task in UNLABELLED:
        raise RecipeError(
            "data.target",
            f"no target for task: {task}",
            ", ".join(f"'{name}'" for name in data.targets),
            "Leave it out, or list it in drop.",
        )
    named: Iterable[tuple[str, Sequence[str]]] = (
        ("target", data.targets),
        ("group", [data.group] if data.group is not None else []),
        ("time", [data.time] if data.time is not None else []),
        ("weight", [data.weight] if data.weight is not None else []),
        ("drop", data.drop),
        ("types", list(data.types)),
        ("read.columns", list(data.read.columns)),
    )
    for key, names in named:
        for name in names:
            if name not in raw.columns:
                raise DataError(
                    f"{raw.where}, data.{key}",
                    "the name of a column",
                    f"'{name}'",
                    did_you_mean(name, raw.columns),
                )
            if name in data.targets and key in ("group", "time", "weight", "drop"):
                raise RecipeError(
                    f"data.{key}",
                    "a column other than the target",
                    f"'{name}'",
                    f"Change data.{key}.",
                )


def _groups(data: Data, cells: pa.ChunkedArray, reading: Reading) -> IntArray:
    """By the values of the column `data.group`, or by what its pattern finds in them."""
    name = data.group or ""
    held = levels_of(texts(name, cells, reading), reading)
    refuse_missing(name, held.codes < 0, "group", reading)
    codes = held.codes.astype(np.int64)
    if data.group_pattern is None:
        return codes
    found = [group_in(level, data.group_pattern) for level in held.levels]
    without = np.array([one is None for one in found], dtype=np.bool_)[codes]
    if without.any():
        row = int(without.argmax())
        raise DataError(
            reading.at(row, name),
            f"a text in which data.group_pattern finds a group ({data.group_pattern})",
            f"'{held.levels[int(codes[row])]}'",
            "Correct the pattern, or leave the row out.",
        )
    return np.unique(np.array(found, dtype=np.str_), return_inverse=True)[1].astype(np.int64)[codes]


def _left_out(found: FoundTarget, raw: Raw) -> list[str]:
    missing = raw.rows - len(found.rows)
    if not missing:
        return []
    absent = np.setdiff1d(np.arange(raw.rows), found.rows, assume_unique=True)
    are = counted(missing, "row has no target and is", "rows have no target and are")
    return [f"{are} left out; the first is {raw.place(int(absent[0]))}."]
