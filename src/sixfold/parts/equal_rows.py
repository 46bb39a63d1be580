"""Rows that repeat or contradict others: found by a hash, compared value by value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sixfold.parts.table import BoolArray, Column, IntArray, Table, Target

MIX = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
)  # odd constants of splitmix64 (Steele, 2014)


def groups(table: Table) -> IntArray:
    """[rows] equal numbers for rows with equal values in every column (missing equals missing); -1
    for a row of its own.

    A hash finds the few rows that may have an equal; those are compared value by value.
    """
    digest = np.zeros(table.rows, dtype=np.uint64)
    for column in table.columns.values():
        digest = (digest ^ _words(column)) * MIX[0]
        digest = (digest ^ (digest >> np.uint64(29))) * MIX[1]
    _, number, count = np.unique(digest, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(count[number] > 1)
    result = np.full(table.rows, -1, dtype=np.int64)
    if len(suspects):
        columns = {
            str(i): column.values[suspects] for i, column in enumerate(table.columns.values())
        }
        frame = pd.DataFrame(columns)
        result[suspects] = (
            frame.groupby(list(columns), dropna=False, sort=False).ngroup().to_numpy()
        )
    return result


def duplicates(group: IntArray, target: Target) -> BoolArray:
    """[rows] rows whose columns and target all occurred in an earlier row."""
    pairs, rows = _pairs(group, target)
    repeated = np.zeros(len(group), dtype=np.bool_)
    repeated[rows] = pairs.duplicated(keep="first").to_numpy()
    return repeated


def contradictions(group: IntArray, target: Target) -> BoolArray:
    """[rows] rows for which another row has equal columns and a different target."""
    pairs, rows = _pairs(group, target)
    answers = np.bincount(pairs.drop_duplicates()["group"].to_numpy(dtype=np.int64))
    found = np.zeros(len(group), dtype=np.bool_)
    found[rows] = answers[group[rows]] > 1
    return found


def _pairs(group: IntArray, target: Target) -> tuple[pd.DataFrame, IntArray]:
    """Group and target of the rows that share their group's columns; which rows those are."""
    rows = np.flatnonzero(group >= 0).astype(np.int64)
    values = target.values[rows]
    y = values[:, None] if values.ndim == 1 else values
    return pd.DataFrame(
        {"group": group[rows], **{str(i): y[:, i] for i in range(y.shape[1])}}
    ), rows


def _words(column: Column) -> npt.NDArray[np.uint64]:
    """The column as 64-bit words, equal for equal values: one NaN, one zero."""
    values = column.values
    if not column.is_float:
        return values.astype(np.int64).view(np.uint64)
    return np.where(np.isnan(values), np.nan, values + 0.0).astype(np.float64).view(np.uint64)
