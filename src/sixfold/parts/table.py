"""Columns in memory: numbers as float64 with NaN, categories as codes into a list of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sixfold.core.values import LevelType
from sixfold.parts.state import State
from sixfold.parts.stored_texts import StoredTexts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NumberArray = npt.NDArray[np.float64]
CodeArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
ColumnKind: TypeAlias = (
    str  # number, category, boolean, date, identifier, or the name of a modality
)
Task = Literal[
    "classification",
    "regression",
    "reconstruction",
    "generation",
    "recommendation",
    "transcription",
]

# What a language model says of a text: the sum of −ln of the probabilities of its tokens, how many
# these are, and the bytes of the text in UTF-8.
LOSS_SUMS: Final = ("loss", "tokens", "bytes")
# Of a preference between two answers besides, of which the sums are those of the better one: ln of how
# many times more probable it is than the other.
MARGIN: Final = "margin"
# What a recommender says of an interaction that it did not see: a number of the user; the rank of the item among
# all items that the user has not seen yet, from 1 (0: it is not asked for; MISSED: no item that it knows); of the
# first items that it puts there, the mean of −log2 of the share of users that have each; and the share of all items
# that are first put there for this user (told once a user), so that a sum of it is the coverage.
RANKING: Final = ("user", "rank", "novelty", "fresh")
MISSED: Final = float(1 << 40)


class ColumnValues:
    """Descriptor of `Column.values`: what the column was made of; of a view the rows of it that the
    view has, gathered anew each time. Nothing gathered is held: a fold's rows would be a copy of
    the table else.
    """

    def __get__(self, column: Column | None, owner: type[Column]) -> NumberArray | CodeArray:
        if column is None:
            raise AttributeError("values")  # no default, says this to `dataclass`
        return column.at(slice(None))

    def __set__(self, column: Column, values: NumberArray | CodeArray) -> None:
        vars(column)["_stored"] = values


@dataclass(frozen=True)
class Column(State):
    """One raw column.

    `values`: float64 [rows] for number, boolean (0 or 1) and date (seconds since 1970), NaN where
    missing; int32 codes [rows] into `levels` for category, identifier and every modality (texts,
    paths of files), -1 where missing. `levels` may hold strings that occur in no row (a view has
    its parent's levels): never count on their number. `level_type`: what they are; of numbers,
    booleans and dates they are the one writing (`core.values.level`). Texts that a language model
    learns stay on disk.
    """

    kind: ColumnKind
    values: ColumnValues = ColumnValues()
    levels: Sequence[str] = ()
    level_type: LevelType = "text"

    def take(self, rows: IntArray) -> Column:
        """The same column at `rows`: a view, which copies nothing."""
        own = self.view
        return self._viewed(rows if own is None else own[rows])

    def at(self, rows: IntArray | slice) -> NumberArray | CodeArray:
        """`values[rows]`; of a view no others are gathered."""
        stored: NumberArray | CodeArray = vars(self)["_stored"]
        whole = rows == slice(None) if isinstance(rows, slice) else False
        if self.view is None:
            return stored if whole else stored[rows]
        return stored[self.view if whole else self.view[rows]]

    @property
    def view(self) -> IntArray | None:
        """The parent's rows that a view has; None for a column that is no view."""
        found: IntArray | None = vars(self).get("_view")
        return found

    @property
    def is_float(self) -> bool:
        """Whether the values are float64, not codes."""
        return bool(vars(self)["_stored"].dtype.kind == "f")

    def _viewed(self, rows: IntArray) -> Column:
        viewed = Column(self.kind, vars(self)["_stored"], self.levels, self.level_type)
        vars(viewed)["_view"] = rows
        return viewed

    def with_own_levels(self, rows: slice) -> Column:
        """A column of levels at a range of rows, with no other levels than occur in them."""
        codes = self.at(rows)
        used, found = np.unique(codes, return_inverse=True)
        gone = int(len(used) > 0 and used[0] < 0)
        levels = tuple(self.levels[code] for code in used[gone:].tolist())
        return Column(self.kind, (found - gone).astype(np.int32), levels, self.level_type)

    def missing(self) -> BoolArray:
        """Where the value is missing, [rows]."""
        values = self.values
        return np.isnan(values) if self.is_float else values < 0

    @property
    def levels_in_digest(self) -> tuple[str, ...] | str:
        """What stands for the levels in a digest of the column."""
        return self.levels.digest if isinstance(self.levels, StoredTexts) else tuple(self.levels)

    def strings(self) -> Sequence[str]:
        """The values of a category, or of text, as strings, '' where missing; those of texts on disk
        are read one by one.
        """
        if isinstance(self.levels, StoredTexts):
            return self.levels.take(self.values.astype(np.int64))
        levels = (*self.levels, "")
        return [levels[code] for code in self.values]


@dataclass(frozen=True)
class KeyedTable(State):
    """What is known of users, or of items, one of each `keys`; the last row of `table`, without a key, is of
    one of whom nothing is known. `source`: what it was read from.
    """

    keys: tuple[str, ...]
    table: Table
    source: str = ""

    def places(self, names: Sequence[str]) -> IntArray:
        """[names] rows of `table`, the last one where there is none."""
        known = {key: place for place, key in enumerate(self.keys)}
        return np.array([known.get(name, len(self.keys)) for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Table(State):
    """Named columns of equal length: what `data` reads and what a preparer takes. Never holds the
    target. `sides`: of interactions what is known of users and of items, by the name of their column.
    """

    columns: Mapping[str, Column]
    rows: int
    sides: Mapping[str, KeyedTable] = field(default_factory=dict)

    def take(self, rows: IntArray) -> Table:
        """The same table at `rows`, in that order: a view. A view of a view has rows of the first
        one's parent, which its columns share.
        """
        shared: dict[int, IntArray] = {}
        columns = {}
        for name, column in self.columns.items():
            own = column.view
            if id(own) not in shared:
                shared[id(own)] = rows if own is None else own[rows]
            columns[name] = column._viewed(shared[id(own)])
        return Table(columns, len(rows), self.sides)


@dataclass(frozen=True)
class Target(State):
    """What is predicted.

    `values`: int64 [rows] indices into `classes` (classification), float64 [rows] (regression),
    float64 [rows, outputs] (reconstruction; of a generation LOSS_SUMS, as a model gives them that finds
    all bytes equally likely; of a recommendation RANKING, as of a model that puts each item first), int64
    [rows, characters] code points and 0 behind a text's end (transcription, `parts.transcripts`).
    `names`: the target column, the reconstructed columns, or what the outputs are called.
    `class_type`: what the classes are, as of a category's levels. `weights`: float64 [rows], how often
    each row counts, not negative; None where each counts once. `quantiles`: of the values, in (0, 1) and
    rising, what a model gives of a row of a regression; () for one number a value.
    """

    task: Task
    values: FloatArray | IntArray
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    class_type: LevelType = "text"
    weights: FloatArray | None = None
    quantiles: tuple[float, ...] = ()

    def take(self, rows: IntArray) -> Target:
        """The same target at `rows`."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, values=self.values[rows], weights=weights)

    def mean(self, each: FloatArray | BoolArray) -> float:
        """Mean over rows of `each`, [rows] or [rows · outputs], by their weights, which are not all 0."""
        if self.weights is None:
            return float(np.mean(each))
        own = each.reshape(len(self.weights), -1).mean(axis=1)
        return float(self.weights @ own / self.weights.sum())

    @property
    def each(self) -> tuple[Target, ...]:
        """Of a regression of several values one target for each; else itself."""
        if self.task != "regression" or self.values.ndim == 1:
            return (self,)
        return tuple(
            replace(self, values=self.values[:, at].astype(np.float64), names=(name,))
            for at, name in enumerate(self.names)
        )

    @property
    def total(self) -> float:
        """Rows, each as often as it counts."""
        return float(len(self.values) if self.weights is None else self.weights.sum())

    @property
    def class_counts(self) -> FloatArray:
        """[classes] rows of each class, each as often as it counts."""
        codes = self.values.astype(np.int64)
        return np.bincount(codes, self.weights, minlength=len(self.classes)).astype(np.float64)

    @property
    def outputs(self) -> int:
        """Numbers a model gives for a row: one a class, or one a value."""
        if self.task == "classification":
            return len(self.classes)
        if self.quantiles:
            return len(self.quantiles)
        return 1 if self.values.ndim == 1 else int(self.values.shape[1])


def quantile_name(quantile: float) -> str:
    """What an answer is called that is a quantile: q0.1."""
    return f"q{quantile}"


@dataclass(frozen=True)
class Dataset(State):
    """A table with its target, and what was noticed while reading it.

    `groups`: int64 [rows] for group splits; `times`: float64 [rows] for time-series splits.
    `notes`: sentences for the user ("32,561 rows; 6 numbers, 8 categories"); `warnings`: what to
    look at. `together`: int64 [rows], equal numbers for rows that stay on one side of every split
    because they are equal, or of one group; None where no rows are equal. `fields`: of a file
    without a header, its columns in order.
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
        """What is divided: [rows] equal numbers for rows that stay on one side; None where every
        row is its own.
        """
        return self.groups if self.together is None else self.together

    def take(self, rows: IntArray) -> Dataset:
        """The same dataset at `rows`."""
        table, target = self.table.take(rows), self.target.take(rows)
        groups = None if self.groups is None else self.groups[rows]
        times = None if self.times is None else self.times[rows]
        together = None if self.together is None else self.together[rows]
        return replace(
            self, table=table, target=target, groups=groups, times=times, together=together
        )
