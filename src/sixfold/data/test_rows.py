"""A second file as the holdout (`data.test`): its rows read as the training file's are, and put
aside.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sixfold.core import values
from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.data.documents import joined_columns
from sixfold.data.load import dataset_of, read_rows
from sixfold.data.source import Raw, StoredCells
from sixfold.parts.table import Dataset, Task
from sixfold.recipe.schema import Data


def load(
    data: Data, task: Task | None, base: Path, memory: MemoryLimit | None = None
) -> tuple[Dataset, Dataset]:
    """The rows of `data.source`, and those of `data.test`. Which kind a column is, the training
    file alone decides.

    `notes` and `warnings` of the first hold what was noticed in both. Raises DataError, with the
    line, RecipeError, or BudgetError where both together take more than `memory` (as in
    `data.load`).
    """
    memory = memory or MemoryLimit.of(None)
    raw = read_rows(data, task, base, memory)
    training = dataset_of(replace(raw, columns=dict(raw.columns)), data, task, memory)
    types = dict.fromkeys(training.table.columns, "text") if task == "generation" else data.types
    other = data.model_copy(update={"source": data.test, "types": types})
    test = read_rows(other, task, base, memory)
    used = [
        name
        for name in raw.columns
        if name in training.table.columns
        or name in (*data.targets, data.group, data.time, data.weight)
    ]
    for name in used:
        if name not in test.columns:
            raise DataError(
                f"{test.where}, data.test",
                f"the column '{name}', as in the training file",
                "no such column",
                did_you_mean(name, test.columns),
            )
    both = dataset_of(
        _joined(raw, test, used), _decided(data, training, used), training.target.task, memory
    )
    held_out = both.take(np.arange(training.table.rows, both.table.rows, dtype=np.int64))
    _check_target(training, both, held_out, test)
    notes = (
        *training.notes,
        f"Held out: the {held_out.table.rows:,} rows of {data.test} (data.test).",
    )
    return replace(
        training, notes=notes, warnings=(*training.warnings, *_shared_groups(data, both, training))
    ), held_out


def _joined(raw: Raw, test: Raw, names: list[str]) -> Raw:
    """The rows of both, one below the other: what is decided by the values of both files is decided
    once.
    """
    columns = {name: _one_type(raw.columns[name], test.columns[name]) for name in names}

    def place(row: int) -> str:
        return (
            test.place(row - raw.rows)
            if row >= raw.rows
            else f"{raw.place(row)} of the training file"
        )

    return Raw(columns, raw.rows + test.rows, test.where, place)


def _one_type(first: Any, second: Any) -> Any:
    """Two columns as one: of their type, as numbers, or as text; or as texts on disk."""
    if isinstance(first, StoredCells) and isinstance(second, StoredCells):
        return joined_columns(first, second)
    kinds = [part.type for part in (first, second) if not pa.types.is_null(part.type)] or [
        first.type
    ]
    if len(set(kinds)) == 1:
        kind = kinds[0]
    elif all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        kind = pa.float64()
    else:
        kind = pa.string()
        first, second = _as_text(first), _as_text(second)
    return pa.chunked_array(
        [chunk for part in (first, second) for chunk in part.cast(kind, safe=False).chunks], kind
    )


def _as_text(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array(
        [pa.array([None if c is None else values.spell(c) for c in cells.to_pylist()], pa.string())]
    )


def _decided(data: Data, training: Dataset, used: list[str]) -> Data:
    """The recipe's section with what the training file decided: the kinds of the columns, and which
    are used.
    """
    types = {name: column.kind for name, column in training.table.columns.items()}
    types |= {name: data.types[name] for name in data.targets if name in data.types}
    marks = {name: each for name, each in data.read.columns.items() if name in used}
    read = data.read.model_copy(update={"columns": marks})
    asked = {"types": types, "drop": (), "read": read, "rare": "keep", "duplicates": "ignore"}
    return data.model_copy(update=asked)


def _check_target(training: Dataset, both: Dataset, held_out: Dataset, test: Raw) -> None:
    """There are rows with a target, and no class that the training file lacks. Raises DataError."""
    name = ", ".join(training.target.names)
    if held_out.table.rows == 0:
        raise DataError(
            f"{test.where}, column '{name}'",
            "a target in at least one row",
            "none",
            "Look at data.test.",
        )
    new = [label for label in both.target.classes if label not in training.target.classes]
    if new:
        raise DataError(
            f"{test.where}, column '{name}'",
            f"classes of the training file ({', '.join(training.target.classes[:6])})",
            f"'{new[0]}'",
            "Correct the file of data.test, or leave these rows out.",
        )


def _shared_groups(data: Data, both: Dataset, training: Dataset) -> tuple[str, ...]:
    """A warning where groups have rows in both files: the scores on data.test are then too good."""
    if both.groups is None:
        return ()
    rows = training.table.rows
    shared = len(np.intersect1d(both.groups[:rows], both.groups[rows:]))
    if not shared:
        return ()
    return (
        f"{shared:,} {'group of' if shared == 1 else 'groups of'} '{data.group}' {'has' if shared == 1 else 'have'} rows in "
        "both data.source and data.test: scores on data.test are likely too good.",
    )
