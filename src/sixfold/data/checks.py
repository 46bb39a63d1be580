"""What is looked for in a dataset before it is divided: equal rows, and classes with few of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from sixfold.core.units import counted
from sixfold.data import rare
from sixfold.data.image_duplicates import describe_groups, duplicate_groups
from sixfold.data.near_duplicates import near_duplicates
from sixfold.parts import equal_rows, image_column
from sixfold.parts.image_store import describe_faults, survey
from sixfold.parts.table import Dataset, IntArray
from sixfold.parts.units import merged
from sixfold.recipe.schema import Data

LEAST_UNITS: Final = 10  # fewer different rows cannot be divided into folds without tearing equal ones apart; guessed
LOUD: Final = 0.05  # share of repeated rows from which on it is a warning; guessed


def checked(dataset: Dataset, data: Data) -> Dataset:
    """The dataset after `data.rare` and `data.duplicates`, with what was found in `notes` and `warnings`. Raises DataError."""
    return keep_together(rare.settle(_readable(dataset, data), data), data.duplicates)


def _readable(dataset: Dataset, data: Data) -> Dataset:
    """Without the rows of images that cannot be used, where the recipe says so; else the first reader of one refuses it."""
    if data.read.unreadable != "skip":
        return dataset
    for name, column in dataset.table.columns.items():
        if column.kind != "image":
            continue
        column = dataset.table.columns[name]
        faults = image_column.unusable(column, survey(image_column.references(column))[0])
        if faults:
            kept = np.setdiff1d(np.arange(dataset.table.rows), [fault.row for fault in faults])
            text = f"{name}: {describe_faults(faults, dataset.table.rows)}"
            dataset = dataset.take(kept)
            dataset = replace(dataset, warnings=(*dataset.warnings, text))
    return dataset


def keep_together(dataset: Dataset, duplicates: str = "keep_together") -> Dataset:
    """Count the rows that repeat or contradict others; rows that are equal get one unit, joined with their groups'."""
    if duplicates == "keep_together":
        dataset = _near_images_together(_near_texts_together(dataset))
    group = equal_rows.groups(dataset.table)
    if (group < 0).all():
        return dataset
    repeated = equal_rows.duplicates(group, dataset.target)
    contradicting = int(equal_rows.contradictions(group, dataset.target).sum())
    notes, warnings = list(dataset.notes), list(dataset.warnings)
    if contradicting and dataset.target.task != "reconstruction":
        rows = counted(contradicting, "row equals another row", "rows equal another row")
        notes.append(f"{rows} in every column and differ{'s' * (contradicting == 1)} in the target.")
    if repeated.any():
        units = merged(dataset.units, _units(group, repeated))
        done, kept = _done(dataset, units, duplicates)
        text = f"{counted(int(repeated.sum()), 'row equals', 'rows equal')} an earlier row in every column and the target. {done}"
        (warnings if kept and repeated.mean() >= LOUD else notes).append(text)
        dataset = replace(dataset, together=units if kept else dataset.together)
    return replace(dataset, notes=tuple(notes), warnings=tuple(warnings))


def _near_texts_together(dataset: Dataset) -> Dataset:
    """Where texts are all that a row has: those that are nearly the same get one unit, joined with their groups'.

    Beside other columns near texts are common (a title, a short note) and their rows are not the same case.
    """
    columns = list(dataset.table.columns.values())
    if any(column.kind != "text" for column in columns) or len(columns) != 1:
        return dataset
    units = near_duplicates(columns[0].strings())
    near = len(units) - len(np.unique(units))
    together = merged(dataset.groups, units)
    if not near or len(np.unique(together)) < LEAST_UNITS:
        return dataset
    told = counted(near, "text is nearly the same as an earlier one", "texts are nearly the same as an earlier one")
    text = f"{told} (MinHash): they stay on one side of every split."
    return replace(dataset, together=together, notes=(*dataset.notes, text))


def _near_images_together(dataset: Dataset) -> Dataset:
    """The same of images, where they are all that a row has: equal files, and those that look equal.

    They are resized as training will most likely want them, so that the cache serves both.
    """
    columns = list(dataset.table.columns.values())
    if any(column.kind != "image" for column in columns) or len(columns) != 1:
        return dataset
    shape = survey(image_column.references(columns[0]))[0]
    units = duplicate_groups(image_column.resized(columns[0], shape))
    text, together = describe_groups(units), merged(dataset.groups, units)
    if not text or len(np.unique(together)) < LEAST_UNITS:
        return dataset
    return replace(dataset, together=together, notes=(*dataset.notes, text))


def _units(group: IntArray, repeated: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> IntArray:
    """[rows] the first of the rows that are equal in every column, where any of them is a repeat; else the row itself.

    Rows that differ from these in the target alone stay with them: apart, they would mislead about each other.
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
        what = "different rows" if groups is None else "sets of groups without equal rows between them"
        return f"Not kept on one side of every split: there are too few {what} ({count}).", False
    return (
        "Equal rows stay on one side of every split; if they are cases of their own that happen to be alike, "
        "data.duplicates: ignore divides them like any rows."
    ), True
