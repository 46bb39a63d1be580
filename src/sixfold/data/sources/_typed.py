"""Python's values, as JSON lines and Excel files hold them, to columns of one type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from sixfold.core import values
from sixfold.core.marks import NumberFormat

Show = Callable[[Any], str]
EXACT: Final = 2**53  # whole numbers up to here are numbers of double precision, too


def shows(marks: NumberFormat | None) -> Show:
    """How a value stands in a column of mixed types, which becomes text: numbers with the column's
    decimal mark.
    """

    def show(value: Any) -> str:
        text = values.spell(value)
        if text is None:  # a whole number of more digits than Python writes is as good as infinite
            return "inf" if value > 0 else "-inf"
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return text.replace(".", marks.decimal) if marks is not None and is_number else text

    return show


def array(cells: Sequence[Any], show: Show) -> pa.Array:
    """Booleans, whole numbers, numbers, moments or text, whichever holds all values exactly."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int} and all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None):
        return pa.array(cells, pa.int64())
    if (
        kinds
        and kinds <= {int, float}
        and all(abs(cell) <= EXACT for cell in cells if type(cell) is int)
    ):
        return pa.array(cells, pa.float64())
    if kinds == {dt.datetime}:
        return pa.array(cells, pa.timestamp("us"))
    if len(kinds) <= 1 and kinds != {int}:
        return pa.array(cells)
    return pa.array([None if cell is None else show(cell) for cell in cells], pa.string())


def joined(arrays: list[pa.Array], show: Show) -> pa.ChunkedArray:
    """Chunks of one type: whole numbers give way to numbers that hold them exactly, everything else
    to text.
    """
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    if not kinds:
        return pa.chunked_array(arrays, pa.null())
    numbers = kinds == {pa.int64(), pa.float64()} and all(map(_exact, arrays))
    several = pa.float64() if numbers else pa.string()
    one = kinds.pop() if len(kinds) == 1 else several
    return pa.chunked_array([_as(array, one, show) for array in arrays], one)


def _as(array: pa.Array, kind: pa.DataType, show: Show) -> pa.Array:
    if array.type == kind:
        return array
    if kind == pa.string() and not pa.types.is_null(array.type):
        return pa.array([None if cell is None else show(cell) for cell in array.to_pylist()], kind)
    return array.cast(kind, safe=False)


def _exact(array: pa.Array) -> bool:
    """Whether a number of double precision holds every whole number."""
    if array.type != pa.int64():
        return True
    bounds = pc.min_max(array)
    return all(
        cell is None or abs(cell) <= EXACT
        for cell in (bounds["min"].as_py(), bounds["max"].as_py())
    )
