"""What is looked for in a dataset before it is divided: equal rows, and classes with few of
them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from sixfold.core.units import counted
from sixfold.data import rare
from sixfold.parts import equal_rows
from sixfold.parts.modality import FindsCopies, FindsUnusable, is_modality, modality_of
from sixfold.parts.table import Dataset, IntArray
from sixfold.parts.units import merged
from sixfold.recipe.schema import Data

LEAST_UNITS: Final = 10  # fewer different rows cannot be divided into folds without tearing equal ones apart; guessed
LOUD: Final = 0.05  # share of repeated rows from which on it is a warning; guessed


def checked(dataset: Dataset, data: Data) -> Dataset:
    """The dataset after `data.rare` and `data.duplicates`, with what was found in `notes` and
    `warnings`. Raises DataError.
    """
    return keep_together(rare.settle(_readable(dataset, data), data), data.duplicates)


def _readable(dataset: Dataset, data: Data) -> Dataset:
    """Without the rows of files that cannot be used, where the recipe says so; else the first
    reader of one refuses it.
    """
    if data.read.unreadable != "skip":
        return dataset
    for name in dataset.table.columns:
        column = dataset.table.columns[name]
        modality: object = modality_of(column.kind) if is_modality(column.kind) else None
        found = modality.unusable(column) if isinstance(modality, FindsUnusable) else None
        if found is not None:
            dataset = dataset.take(np.setdiff1d(np.arange(dataset.table.rows), found.rows))
            dataset = replace(dataset, warnings=(*dataset.warnings, f"{name}: {found.told}"))
    return dataset


def keep_together(dataset: Dataset, duplicates: str = "keep_together") -> Dataset:
    """Count the rows that repeat or contradict others; rows that are equal get one unit, joined
    with their groups'.
    """
    if duplicates == "keep_together":
        dataset = _copies_together(dataset)
    group = equal_rows.groups(dataset.table)
    if (group < 0).all():
        return dataset
    repeated = equal_rows.duplicates(group, dataset.target)
    contradicting = int(equal_rows.contradictions(group, dataset.target).sum())
    notes, warnings = list(dataset.notes), list(dataset.warnings)
    if contradicting and dataset.target.task not in ("reconstruction", "generation"):
        rows = counted(contradicting, "row equals another row", "rows equal another row")
        notes.append(
            f"{rows} in every column and differ{'s' * (contradicting == 1)} in the target."
        )
    if repeated.any():
        units = merged(dataset.units, _units(group, repeated))
        done, kept = _done(dataset, units, duplicates)
        text = f"{counted(int(repeated.sum()), 'row equals', 'rows equal')} an earlier row in every column and the target. {done}"
        (warnings if kept and repeated.mean() >= LOUD else notes).append(text)
        dataset = replace(dataset, together=units if kept else dataset.together)
    return replace(dataset, notes=tuple(notes), warnings=tuple(warnings))


def _copies_together(dataset: Dataset) -> Dataset:
    """Where one text or file is all that a row has: those that are nearly the same get one unit,
    joined with their groups'.

    Beside other columns near ones are common (a title, a short note) and their rows are not the
    same case.
    """
    columns = list(dataset.table.columns.values())
    modality: object = (
        modality_of(columns[0].kind) if len(columns) == 1 and is_modality(columns[0].kind) else None
    )
    copies = modality.copies(columns[0]) if isinstance(modality, FindsCopies) else None
    if copies is None:
        return dataset
    together = merged(dataset.groups, copies.units)
    if len(np.unique(together)) < LEAST_UNITS:
        return dataset
    return replace(dataset, together=together, notes=(*dataset.notes, copies.told))


def _units(group: IntArray, repeated: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> IntArray:
    """[rows] the first of the rows that are equal in every column, where any of them is a repeat;
    else the row itself.

    Rows that differ from these in the target alone stay with them: apart, they would mislead about
    each other.
    """
    units = np.arange(len(group), dtype=np.int64)
    concerned = np.flatnonzero(np.isin(group, np.unique(group[repeated])))
    _, first, number = np.unique(group[concerned], return_index=True, return_inverse=True)
    units[concerned] = concerned[first][number]
    return units


def _done(dataset: Dataset, units: IntArray, duplicates: str) -> tuple[str, bool]:
    """What becomes of equal rows, and whether they are kept together."""
    if duplicates == "ignore":
        return "They are divided like any rows, as data.duplicates says.", False
    count = len(np.unique(units))
    groups = None if dataset.groups is None else len(np.unique(dataset.groups))
    if count < min(LEAST_UNITS, groups or LEAST_UNITS):
        what = (
            "different rows" if groups is None else "sets of groups without equal rows between them"
        )
        return f"Not kept on one side of every split: there are too few {what} ({count}).", False
    return (
        "Equal rows stay on one side of every split; if they are cases of their own that happen to be alike, "
        "data.duplicates: ignore divides them like any rows."
    ), True
