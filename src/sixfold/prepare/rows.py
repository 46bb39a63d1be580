"""Training rows that repeat or contradict others."""

from __future__ import annotations

import numpy as np

from sixfold.parts.table import BoolArray, IntArray, Table, Target


def row_groups(table: Table) -> IntArray:
    """[rows] equal numbers for rows with equal values in every column (missing equals missing)."""
    groups = np.zeros(table.rows, dtype=np.int64)
    for column in table.columns.values():
        values = column.values
        if values.dtype.kind == "f":
            _, codes = np.unique(np.where(np.isnan(values), np.inf, values), return_inverse=True)
        else:
            names = np.array([*column.levels, ""], dtype=object)
            levels, level_codes = np.unique(names.astype(str), return_inverse=True)
            codes = level_codes[values]
        _, groups = np.unique(groups * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    return groups.astype(np.int64)


def duplicates(groups: IntArray, target: Target) -> BoolArray:
    """[rows] rows whose columns and target all occurred before."""
    y = target.values.reshape(len(groups), -1)
    _, codes = np.unique(y, axis=0, return_inverse=True)
    both = groups * (codes.max(initial=0) + 1) + codes.reshape(-1)
    _, first = np.unique(both, return_index=True)
    repeated = np.ones(len(groups), dtype=np.bool_)
    repeated[first] = False
    return repeated


def contradictions(groups: IntArray, target: Target) -> BoolArray:
    """[rows] rows for which another row has equal columns and a different target."""
    y = target.values.reshape(len(groups), -1)
    _, codes = np.unique(y, axis=0, return_inverse=True)
    pairs = np.unique(np.stack([groups, codes.reshape(-1)], axis=1), axis=0)
    answers = np.bincount(pairs[:, 0], minlength=int(groups.max(initial=0)) + 1)
    return np.asarray(answers[groups] > 1)
