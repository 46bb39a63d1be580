"""The column that orders the rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sixfold.core.errors import DataError
from sixfold.data.columns import Reading, read
from sixfold.parts.table import FloatArray


def read_times(name: str, cells: pa.ChunkedArray, reading: Reading) -> FloatArray:
    """float64 [rows] of `data.time`: seconds since 1970, or the numbers as they are. Raises DataError."""
    try:
        made = read(name, cells, None, reading)
        if made.column.kind not in ("number", "date", "identifier"):
            made = read(name, cells, "date", reading)  # raises at the first cell that is none
        if made.column.kind == "identifier":
            made = read(name, cells, "number", reading)
    except DataError as error:
        remedy = "Correct it, or name a column of dates or numbers in data.time."
        raise DataError(
            error.where, f"{error.expected}, as it is data.time", error.found, remedy
        ) from None
    refuse_missing(name, made.column.missing(), "time", reading)
    return made.column.values.astype(np.float64)


def refuse_missing(name: str, missing: npt.NDArray[np.bool_], key: str, reading: Reading) -> None:
    """Raises DataError for the first row without a value; `key`: of the section data."""
    if missing.any():
        row = int(np.argmax(missing))
        raise DataError(
            reading.at(row, name),
            f"a value in every row, as it is data.{key}",
            "a missing one",
            "Add it, or drop the row.",
        )
