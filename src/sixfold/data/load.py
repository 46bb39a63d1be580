"""The door of step 0: a recipe's `data` section, or a DataFrame, in; a Dataset with all that was
noticed out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

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
from sixfold.data.source import Raw, StoredCells, StreamsRows, find
from sixfold.data.target import FoundTarget, column_target, reconstruction_target, value_targets
from sixfold.data.times import read_times, refuse_missing
from sixfold.parts.conversation import COLUMN
from sixfold.parts.modality import is_modality, modality_of
from sixfold.parts.table import Column, ColumnKind, Dataset, IntArray, Table, Task
from sixfold.recipe.grouping import group_in, grouping_alone
from sixfold.recipe.schema import Data

PLANNED_ROWS = 50_000  # from which a column's memory is asked for
COLUMN_BYTES = (
    16  # of a value while its column is read: as a double, and once more; derived, rather less
)
UNLABELLED: Final = frozenset(
    {"reconstruction", "generation", "recommendation"}
)  # tasks without a target
SHOWN = 5  # columns or tokens named in a sentence


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


@dataclass
class Notes:
    """What is collected for the user while columns are read."""

    tokens: dict[str, frozenset[str]] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    identifiers: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)

    def add(self, name: str, made: Read) -> bool:
        """Note one column; True when it is a feature."""
        self.warnings += made.warnings
        self.marks += [made.marks] if made.marks else []
        if made.empty:
            self.empty.append(name)
            return False
        if made.tokens:
            self.tokens[name] = made.tokens
        if made.rule:
            self.rules.setdefault(made.rule, []).append(name)
        if is_modality(kind := made.column.kind):
            self.described += (
                [f"{name}: read as {kind} ({made.why}; data.types can say otherwise)."]
                if made.why
                else []
            )
            if name != COLUMN:  # whose JSON says nothing of what is said in it
                self.described += modality_of(kind).notes(name, made.column)
        if made.column.kind == "identifier":
            self.identifiers.append(name)
            return False
        return True


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
    found = _asked_target(raw, data, task, reading)
    groups = None if data.group is None else _groups(data, raw.columns[data.group], reading)
    times = (
        None
        if data.time is None
        else read_times(data.time, raw.columns[data.time], _of(reading, data, data.time))
    )
    weights = None
    if data.weight is not None:
        own = _of(reading, data, data.weight)
        weights = row_weights.read_weights(data.weight, raw.columns[data.weight], own)
    notes = Notes(warnings=_odd_tokens(data.missing))
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
    numbers = _without_row_numbers(columns, data, raw)
    if not columns:
        raise DataError(
            raw.where,
            "at least one column to predict from",
            "none that can be used",
            "Look at data.drop and data.types.",
        )
    found = found or _own_target(columns, task, raw.where)
    weighed = row_weights.weighed(found, data.weight, weights, raw)
    sentences = (
        _overview(raw.rows, columns, notes),
        *_unused(data, notes),
        *numbers.notes,
        *_rules(notes),
        *notes.described,
        *weighed.notes,
        *_left_out(found, raw),
    )
    warnings = (
        *raw.warnings,
        *weighed.warnings,
        *notes.warnings,
        *_together(notes.marks),
        *numbers.warnings,
        *_empty(notes),
    )
    whole = Dataset(
        Table(columns, raw.rows), weighed.target, groups, times, sentences, warnings, fields=fields
    )
    return checked(_at_rows(whole, found.rows, raw), data)


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


def _odd_tokens(missing: Sequence[str]) -> list[str]:
    return [
        f"data.missing: {token!r} is never found, because cells are compared without spaces around them."
        for token in missing
        if token != token.strip()
    ]


def _overview(rows: int, columns: dict[str, Column], notes: Notes) -> str:
    """ "32,561 rows; 6 numbers, 8 categories; 3 columns with '?' read as missing" """
    plural = {
        "number": "numbers",
        "category": "categories",
        "boolean": "booleans",
        "date": "dates",
    }
    kinds = Counter(column.kind for column in columns.values())
    plural |= {kind: modality_of(kind).plural for kind in sorted(kinds) if kind not in plural}
    parts = [counted(kinds[kind], kind, plural[kind]) for kind in plural if kinds[kind]]
    clauses = [counted(rows, "row"), ", ".join(parts)]
    words = sorted({token for tokens in notes.tokens.values() for token in tokens} - {""})
    with_words = sum(bool(tokens - {""}) for tokens in notes.tokens.values())
    with_empty = sum("" in tokens for tokens in notes.tokens.values())
    if with_words:
        shown = ", ".join(f"'{word}'" for word in words[:SHOWN])
        clauses.append(f"{counted(with_words, 'column')} with {shown} read as missing")
    if with_empty:
        clauses.append(f"{counted(with_empty, 'column')} with empty cells")
    return "; ".join(clauses)


def _unused(data: Data, notes: Notes) -> list[str]:
    sentences = []
    if notes.identifiers:
        sentences.append(
            f"Not used, as identifiers: {', '.join(notes.identifiers)} (data.types can say otherwise)."
        )
    if data.drop:
        sentences.append(f"Not used, as data.drop says: {', '.join(data.drop)}.")
    if grouping_alone(data.group, data.group_pattern) is not None:
        sentences.append(f"Not used as a feature, since it groups the rows: {data.group}.")
    return sentences


def _rules(notes: Notes) -> list[str]:
    """How levels are compared, where that needs saying."""
    return [
        f"Levels of {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''} are {rule}."
        for rule, names in notes.rules.items()
    ]


def _left_out(found: FoundTarget, raw: Raw) -> list[str]:
    missing = raw.rows - len(found.rows)
    if not missing:
        return []
    absent = np.setdiff1d(np.arange(raw.rows), found.rows, assume_unique=True)
    are = counted(missing, "row has no target and is", "rows have no target and are")
    return [f"{are} left out; the first is {raw.place(int(absent[0]))}."]


def _together(marks: list[str]) -> list[str]:
    """Of several columns with marks: what to write for all of them, as a key stands once in a
    recipe.
    """
    return (
        [
            f"All {len(marks):,} columns with marks at once: data.read: {{columns: {{{', '.join(marks)}}}}}"
        ]
        if marks[1:]
        else []
    )


def _empty(notes: Notes) -> list[str]:
    return [f"{name}: no value in any row; the column is left out." for name in notes.empty]
