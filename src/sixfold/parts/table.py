"""Columns in memory: numbers as float64 with NaN, categories as codes into a list of levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sixfold.core.values import LevelType
from sixfold.parts.state import State

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ColumnKind: TypeAlias = str  # number, category, boolean, date, identifier, or the name of a modality
Task = Literal["classification", "regression", "reconstruction"]


@dataclass(frozen=True)
class Column(State):
    """One raw column.

    `values`: float64 [rows] for number, boolean (0 or 1) and date (seconds since 1970), NaN where missing;
    int32 codes [rows] into `levels` for category, identifier and every modality (texts, paths of files), -1 where missing.
    `levels` may hold strings that occur in no row (a slice keeps its parent's levels): never count on their number.
    `level_type`: what they are; of numbers, booleans and dates they are the one writing (`core.values.level`).
    """

    kind: ColumnKind
    values: npt.NDArray[np.float64] | npt.NDArray[np.int32]
    levels: tuple[str, ...] = ()
    level_type: LevelType = "text"

    def take(self, rows: IntArray) -> Column:
        """The same column at `rows`."""
        return replace(self, values=self.values[rows])

    def at(self, rows: slice) -> Column:
        """A column of levels at a range of rows, with no other levels than occur in them."""
        codes = self.values[rows]
        used, found = np.unique(codes, return_inverse=True)
        gone = int(len(used) > 0 and used[0] < 0)
        levels = tuple(self.levels[code] for code in used[gone:].tolist())
        return replace(self, values=(found - gone).astype(np.int32), levels=levels)

    def missing(self) -> BoolArray:
        """Where the value is missing, [rows]."""
        return np.isnan(self.values) if self.values.dtype.kind == "f" else self.values < 0

    def strings(self) -> list[str]:
        """The values of a category, or of text, as strings, '' where missing."""
        levels = (*self.levels, "")
        return [levels[code] for code in self.values]


@dataclass(frozen=True)
class Table(State):
    """Named columns of equal length: what `data` reads and what a preparer takes. Never holds the target."""

    columns: Mapping[str, Column]
    rows: int

    def take(self, rows: IntArray) -> Table:
        """The same table at `rows`, in that order."""
        return Table({name: column.take(rows) for name, column in self.columns.items()}, len(rows))


@dataclass(frozen=True)
class Target(State):
    """What is predicted.

    `values`: int64 [rows] indices into `classes` (classification), float64 [rows] (regression), float64
    [rows, outputs] (reconstruction). `names`: the target column, or the reconstructed columns. `class_type`: what the classes
    are, as of a category's levels.
    """

    task: Task
    values: FloatArray | IntArray
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    class_type: LevelType = "text"

    def take(self, rows: IntArray) -> Target:
        """The same target at `rows`."""
        return replace(self, values=self.values[rows])

    @property
    def outputs(self) -> int:
        """Numbers a model gives for a row: one a class, or one a value."""
        if self.task == "classification":
            return len(self.classes)
        return 1 if self.values.ndim == 1 else int(self.values.shape[1])


@dataclass(frozen=True)
class Dataset(State):
    """A table with its target, and what was noticed while reading it.

    `groups`: int64 [rows] for group splits; `times`: float64 [rows] for time-series splits. `notes`: sentences for the
    user ("32,561 rows; 6 numbers, 8 categories"); `warnings`: what to look at. `together`: int64 [rows], equal numbers for
    rows that stay on one side of every split because they are equal, or of one group; None where no rows are equal.
    `fields`: of a file without a header, its columns in order.
    """

    table: Table
    target: Target
    groups: IntArray | None = None
    times: FloatArray | None = None
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    together: IntArray | None = None
    fields: tuple[str, ...] = field(default=())

    @property
    def units(self) -> IntArray | None:
        """What is divided: [rows] equal numbers for rows that stay on one side; None where every row is its own."""
        return self.groups if self.together is None else self.together

    def take(self, rows: IntArray) -> Dataset:
        """The same dataset at `rows`."""
        table, target = self.table.take(rows), self.target.take(rows)
        groups = None if self.groups is None else self.groups[rows]
        times = None if self.times is None else self.times[rows]
        together = None if self.together is None else self.together[rows]
        return replace(self, table=table, target=target, groups=groups, times=times, together=together)
