"""How often each row counts (`data.weight`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.data.columns import Reading, read
from sixfold.data.source import Raw
from sixfold.data.target import FoundTarget
from sixfold.parts.table import FloatArray

FEW: Final = 0.1  # of the rows: a table that counts as fewer was hardly meant to; guessed


def read_weights(name: str, cells: pa.ChunkedArray, reading: Reading) -> FloatArray:
    """float64 [rows] of the column `name`. Raises DataError with the place of the first cell that is no
    finite number, or is below 0.
    """
    try:
        column = read(name, cells, "number", reading).column
    except DataError as error:
        remedy = "Correct it, or name a column of numbers in data.weight."
        expected = f"{error.expected}, as it is data.weight"
        raise DataError(error.where, expected, error.found, remedy) from None
    found = column.values.astype(np.float64)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "a missing one" if np.isnan(found[row]) else values.show_number(float(found[row]))
        raise DataError(
            reading.at(row, name),
            "a finite number, 0 or more, as it is data.weight",
            what,
            "Correct it; a row that is not to count has the weight 0.",
        )
    return found


def weighed(
    found: FoundTarget, name: str | None, weights: FloatArray | None, raw: Raw
) -> FoundTarget:
    """The target with the weights of its rows; `weights`: those of all rows. Raises DataError where all
    are 0.
    """
    if name is None or weights is None:
        return found
    own = weights[found.rows]
    if not own.any():
        raise DataError(
            f"{raw.where}, column '{name}'",
            "a row whose weight is above 0, as it is data.weight",
            f"{len(own):,} rows with the weight 0",
            "Correct the column, or name another in data.weight.",
        )
    total, rows = float(own.sum()), len(own)
    text = (
        f"Not used as a feature, since it weighs the rows: {name}, from {own.min():.6g} to {own.max():.6g}; "
        f"{rows:,} rows count as {total:,.6g}."
    )
    few = (
        f"{name}: {rows:,} rows count as {total:.3g} only, beside which penalties and the fewest rows in a leaf are "
        "large. Multiply the column, unless so little is meant."
    )
    warnings = (few,) if total < FEW * rows else ()
    target = replace(found.target, weights=own)
    notes, warnings = (*found.notes, text), (*found.warnings, *warnings)
    return replace(found, target=target, notes=notes, warnings=warnings)
