"""A pandas DataFrame as a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.data.source import Raw, check_names


def from_pandas(frame: pd.DataFrame) -> Raw:
    """The columns with their own types; objects of mixed types become text. Raises DataError."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            "the table",
            "a pandas DataFrame",
            f"a {type(frame).__name__}",
            "Put it into pd.DataFrame(…).",
        )
    if len(frame) == 0:
        raise DataError("the DataFrame", "rows", "none", "Give a table that holds rows.")
    names = [str(name) for name in frame.columns]
    check_names(names, "the DataFrame")
    columns = {name: _column(name, frame.iloc[:, i]) for i, name in enumerate(names)}
    return Raw(columns, len(frame), "the DataFrame", lambda row: f"row {row + 1:,}")


def _column(name: str, series: pd.Series[Any]) -> pa.ChunkedArray:
    try:
        array = pa.Array.from_pandas(_plain(series))
        if (
            pa.types.is_decimal(array.type) and series.dtype == object
        ):  # Arrow gives all of them the digits of the longest
            array = pa.array(
                [_text(name, row, value) for row, value in enumerate(series)], pa.string()
            )
    except UnicodeEncodeError:
        raise DataError(
            f"the DataFrame, column '{name}'",
            "text that UTF-8 can hold",
            "half of a surrogate pair",
            "Correct the text.",
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = pa.array([_text(name, row, value) for row, value in enumerate(series)], pa.string())
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _plain(series: pd.Series[Any]) -> pd.Series[Any]:
    """The same values in a type that Arrow has: intervals and periods as their text, sparse columns
    dense.
    """
    kind = series.dtype
    if isinstance(kind, pd.SparseDtype):
        return pd.Series(series.to_numpy(), name=series.name)
    if isinstance(kind, pd.CategoricalDtype) and isinstance(
        kind.categories.dtype, pd.IntervalDtype | pd.PeriodDtype
    ):
        names = np.array([*map(str, kind.categories), None], dtype=object)
        return pd.Series(pd.Categorical(names[series.cat.codes]), name=series.name)
    if isinstance(kind, pd.IntervalDtype | pd.PeriodDtype):
        return series.map(str, na_action="ignore").astype(object)
    return series


def _text(name: str, row: int, value: Any) -> str | None:
    """One object of a column of mixed types."""
    text = values.spell(value)
    if text is None:
        raise DataError(
            f"the DataFrame, row {row + 1:,}, column '{name}'",
            "a number, text, boolean or date",
            f"a {type(value).__name__}",
            "Convert the column, or leave it out.",
        ) from None
    return None if values.is_missing(value) or value is None else text
