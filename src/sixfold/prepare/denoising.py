"""What of the training rows and columns is used at all: repeats, contradictions, outliers, columns
that say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.seeds import derive
from sixfold.core.units import counted
from sixfold.parts import equal_rows as rows
from sixfold.parts.table import BoolArray, CodeArray, Column, IntArray, NumberArray, Table, Target
from sixfold.recipe.kinds import DENOISER
from sixfold.recipe.schema import Denoise

Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Cleaned:
    """The kept columns of the kept rows; which rows those are, sorted; bounds by column; what was
    done, in sentences.
    """

    table: Table
    rows: IntArray
    bounds: Bounds
    notes: tuple[str, ...]


def clean(table: Table, target: Target, denoise: Denoise, seed: int) -> Cleaned:
    """Learn from training rows what to leave out. Raises DataError when nothing is left, or a class
    has no row left.
    """
    if not table.rows:
        raise DataError("prepare", "training rows", "none", "Use more rows, or fewer folds.")
    names = [name for name, column in table.columns.items() if column.kind != "identifier"]
    table = Table({name: table.columns[name] for name in names}, table.rows)
    keep, notes = _repeats(table, target, denoise)
    bounds: Bounds = {}
    if denoise.outliers is not None:
        bounds, outlying = _outliers(table, keep, denoise, derive(seed, "outliers"))
        if outlying.any():
            notes.append(
                f"{_count(outlying, 'outlier')} left out of training ({denoise.outliers['name']})."
            )
        keep &= ~outlying
    kept = np.flatnonzero(keep).astype(np.int64)
    _check_rows(target, kept)
    if len(kept) < table.rows:
        table = table.take(kept)
    columns, more = _columns(table, denoise)
    return Cleaned(Table(columns, table.rows), kept, bounds, (*notes, *more))


def _repeats(table: Table, target: Target, denoise: Denoise) -> tuple[BoolArray, list[str]]:
    keep = np.ones(table.rows, dtype=np.bool_)
    notes: list[str] = []
    if denoise.duplicates == "keep" and denoise.contradictions == "keep":
        return keep, notes
    groups = rows.groups(table)
    if denoise.duplicates == "drop":
        found = rows.duplicates(groups, target)
        keep &= ~found
        if found.any():
            notes.append(f"{_count(found, 'exact duplicate')} left out of training.")
    if denoise.contradictions != "keep":
        found = rows.contradictions(groups, target)
        if found.any():
            done = "; they are left out of training" if denoise.contradictions == "drop" else ""
            notes.append(
                f"{_count(found, 'training row')} with equal columns and different targets{done}."
            )
        if denoise.contradictions == "drop":
            keep &= ~found
    return keep, notes


def _count(found: BoolArray, what: str) -> str:
    number = int(found.sum())
    return counted(number, what)


def _outliers(
    table: Table, keep: BoolArray, denoise: Denoise, seed: int
) -> tuple[Bounds, BoolArray]:
    """Bounds of the number columns (action clip), or the rows that are outliers (action drop)."""
    options = denoise.outliers or {}
    method = DENOISER.make(options)
    names = [
        name
        for name, column in table.columns.items()
        if column.kind == "number" and _known(column, keep).any()
    ]
    outlying = np.zeros(table.rows, dtype=np.bool_)
    if not names:
        raise RecipeError(
            "prepare.denoise.outliers",
            "number columns",
            "none among the training rows",
            "Leave outliers out, or look at data.types.",
        )
    where = np.flatnonzero(keep).astype(np.int64)
    x = np.stack([table.columns[name].at(where) for name in names], axis=1)
    if method.action == "clip":
        clip = method.bounds(x, seed)
        pairs = zip(names, clip.low, clip.high, strict=True)
        return {name: (float(low), float(high)) for name, low, high in pairs}, outlying
    outlying[keep] = method.outliers(x, seed)
    return {}, outlying


def _known(column: Column, keep: BoolArray) -> BoolArray:
    return keep & ~column.missing()


def _check_rows(target: Target, kept: IntArray) -> None:
    if not len(kept):
        raise DataError(
            "prepare.denoise",
            "training rows that stay",
            f"none of {len(target.values):,}",
            "Use contradictions: report, or another way to find outliers.",
        )
    if target.task == "classification":
        lost = np.setdiff1d(target.values, target.values[kept])
        if len(lost):
            raise DataError(
                "prepare.denoise",
                "training rows of every class that stay",
                f"none of class '{target.classes[int(lost[0])]}'",
                "Use action: clip for outliers, or contradictions: report.",
            )


def _columns(table: Table, denoise: Denoise) -> tuple[dict[str, Column], list[str]]:
    """Columns that say something. Raises DataError when there is none."""
    used: dict[str, Column] = {}
    notes: dict[str, list[str]] = {"no value": [], "one value": []}
    for name, column in table.columns.items():
        values = column.values
        missing = _missing(column, values)
        if missing.all():
            notes["no value"].append(name)
        elif denoise.constants == "drop" and not missing.any() and (values == values[0]).all():
            notes["one value"].append(name)
        else:
            used[name] = column
    texts = [
        f"Left out, with {what} in the training rows: {', '.join(names)}."
        for what, names in notes.items()
        if names
    ]
    if not used:
        raise DataError(
            "prepare",
            "at least one column with two different values",
            "none among the training rows",
            "Add columns, or look at data.types and data.drop.",
        )
    return used, texts


def _missing(column: Column, values: NumberArray | CodeArray) -> BoolArray:
    """Where `values`, the column's own, are missing; a category that is '' is missing, too."""
    missing = np.isnan(values) if column.is_float else values < 0
    return missing if "" not in column.levels else missing | (values == column.levels.index(""))
