"""Columns of a source whose cells are files: which kind of data they hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sixfold.core.errors import DataError
from sixfold.data.columns import Read, Reading
from sixfold.parts.file_cells import FileCells
from sixfold.parts.modality import RawColumn, every_modality, is_modality, modality_of
from sixfold.parts.table import ColumnKind


def is_of_files(cells: pa.ChunkedArray) -> bool:
    """Whether the cells are files."""
    return isinstance(cells.type, FileCells)


def read_files(
    name: str, cells: pa.ChunkedArray, asked: ColumnKind | None, reading: Reading
) -> Read:
    """As the modality that was asked for, or that knows the files as its own. Raises DataError
    where there is none.
    """
    levels = tuple(cells.cast(pa.string()).to_pylist())
    codes = np.arange(len(levels), dtype=np.int32)
    raw = RawColumn(
        name, levels, codes, reading.where, lambda row: reading.at(row, name), in_cells=True
    )
    if asked is not None and is_modality(asked):
        return Read(modality_of(asked).column(raw))
    for _, modality in every_modality():
        if asked is None and modality.looked_at_first and (why := modality.why(raw)):
            return Read(modality.column(raw), why=why)
    raise DataError(
        f"{reading.where}, column '{name}'",
        "numbers, text, booleans, dates, or files such as images"
        if asked is None
        else f"a column of kind {asked}",
        "bytes" if asked else "bytes of another kind, by its first rows",
        f"Convert the column, say data.types: {{{name}: image}}, or list it under data.drop: [{name}].",
    )
