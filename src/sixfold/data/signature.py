"""What a model will ask for: one Input a raw column, with what its form and its messages need to
know.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixfold.parts.modality import is_modality
from sixfold.parts.table import Column, Table
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.signature import Input


def inputs(table: Table, names: Sequence[str], read: ReadFile | None = None) -> tuple[Input, ...]:
    """An Input for each of `names`, from the (training) rows of `table` alone; numbers with the
    marks that `read` names.
    """
    made = [_input(name, table.columns[name]) for name in names]
    return tuple(
        column.model_copy(
            update={
                "read": read.marks_of(column.name) if read and column.type == "number" else None
            }
        )
        for column in made
    )


def _input(name: str, column: Column) -> Input:
    if column.kind == "identifier":
        raise ValueError(f"the column '{name}' is an identifier: a model has no such input")
    values = column.values
    known = values[~column.missing()]
    optional = len(known) < len(values)
    if column.kind == "category":
        counts = np.bincount(known.astype(np.int64), minlength=len(column.levels))
        ranked = sorted(
            np.flatnonzero(counts), key=lambda code: (-counts[code], column.levels[int(code)])
        )
        levels = tuple(column.levels[int(code)] for code in ranked)
        return Input(
            name=name,
            type="category",
            levels=levels,
            level_type=column.level_type,
            optional=optional,
        )
    if is_modality(column.kind):
        return Input(name=name, type=column.kind, optional=optional)
    if column.kind == "boolean" or len(known) == 0:
        return Input(name=name, type=column.kind, optional=optional)
    return Input(
        name=name,
        type=column.kind,
        optional=optional,
        minimum=float(known.min()),
        median=float(np.median(known)),
        maximum=float(known.max()),
    )
