"""The training half of a modality: how a column of a kind of data is recognized, kept, described
and prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError
from sixfold.parts.fit import FeatureGroup, Features, Needs
from sixfold.parts.graph import Graph
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.table import Column, IntArray, Table, Task
from sixfold.recipe.kinds import IDENTIFIER, MODALITY, PLAIN_KINDS
from sixfold.recipe.plugin_fields import Options

Suggestion = tuple[str, dict[str, Any], str]  # family, options, why


@dataclass(frozen=True)
class RawColumn:
    """A column of a source as text. `levels`: its distinct cells, sorted, without spaces around;
    `codes`: int32 [rows] places in them, -1 where a cell is missing. `where`: the source's name;
    `at(row)`: the place of a cell, for messages. `in_cells`: the source holds the files themselves,
    and the levels are their names (`parts.file_cells`).
    """

    name: str
    levels: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    where: str
    at: Callable[[int], str]
    in_cells: bool = False

    @property
    def known(self) -> int:
        """Cells that are not missing."""
        return int((self.codes >= 0).sum())

    @property
    def folder(self) -> Path:
        """What relative paths start from: the folder of the source, or the source where it is a
        folder.
        """
        path = Path(self.where)
        return path if path.is_dir() else path.parent

    def as_files(self, kind: str, what: str) -> Column:
        """A column whose levels name files, which `file_cells.content` reads: paths, or cells of
        the source. Raises DataError for a row without one; `what`: `an image`.
        """
        if self.in_cells:
            return Column(kind, self.codes, self.levels)
        gone = np.flatnonzero(self.codes < 0)
        if len(gone):
            remedy = "Leave the row out, or drop the column."
            raise DataError(self.at(int(gone[0])), f"the path of {what}", "an empty cell", remedy)
        paths = tuple(str((self.folder / level).absolute()) for level in self.levels)
        return Column(kind, self.codes, paths)


class ModalityBlock(Protocol):
    """What was fitted on a column: a `State` that gives its features, here and in the graph, with
    equal results.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw column."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of every feature."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Of every feature its raw column."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Of every feature that is a code how many codes there are, 0 for a number."""

    @property
    def steps(self) -> tuple[Any, ...]:
        """Fitted methods."""

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""

    def reader(self, table: Table) -> Callable[[slice], Features]:
        """Gives the features of some rows, float64 [rows, features]."""

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The same as inputs of the graph, double."""


@runtime_checkable
class StoresFeatures(Protocol):
    """Ability of a block: its features stay on disk, for families that read them by batches."""

    def stored(self, table: Table) -> Features:
        """[rows, features], read where they are asked for."""


@dataclass(frozen=True)
class Copies:
    """`units`: int64 [rows], equal numbers for rows that hold the same, or nearly; `told`: the
    sentence for the user.
    """

    units: IntArray
    told: str


@dataclass(frozen=True)
class UnusableRows:
    """`rows`: int64, whose files cannot be used; `told`: how many and why, for the user."""

    rows: IntArray
    told: str


@runtime_checkable
class FindsCopies(Protocol):
    """Ability of a modality: rows that hold nearly the same are found, so that they stay on one
    side of every split.
    """

    def copies(self, column: Column) -> Copies | None:
        """Asked where the column is all that a row has. None where no row is like another."""


@runtime_checkable
class FindsUnusable(Protocol):
    """Ability of a modality: rows that cannot be used are found before anything is trained."""

    def unusable(self, column: Column) -> UnusableRows | None:
        """None where all can be used."""


@runtime_checkable
class Summarized(Protocol):
    """Ability of a modality: what is in a column in a few words, which tell no row."""

    def summary(self, column: Column) -> str:
        """For the report."""


class Modality(Protocol):
    """A plug-in of the kind `modality`. Its serving half is the `reader` of the same name
    (`bundle.modality_reader`).

    `plural`: for sentences. `looked_at_first`: whether a column is tried before numbers and dates
    are. `unseen`: a value that no training row has, to try a graph with; '' where there is none.
    `columns`: of numbers, that a column costs as much as.
    """

    plural: ClassVar[str]
    looked_at_first: ClassVar[bool]
    unseen: ClassVar[str]
    columns: ClassVar[int]

    def why(self, raw: RawColumn) -> str:
        """Why a column is of this modality, if the recipe does not say; '' where it is not."""

    def column(self, raw: RawColumn) -> Column:
        """What is kept of it: its codes, and levels that say what a row holds. Raises DataError."""

    def notes(self, name: str, column: Column) -> Iterable[str]:
        """Sentences about a column, for the user."""

    def values(self, column: Column) -> Sequence[Any]:
        """What each row holds, as the reader's encoder takes it."""

    def as_text(self, column: Column) -> Sequence[str]:
        """The same as text, as the reader's `cell` takes it from a CSV."""

    def contents(self, column: Column) -> Iterable[bytes]:
        """What decides about its rows besides levels and codes: what files hold now."""

    def suggestions(self, task: Task) -> Sequence[Suggestion]:
        """Candidates for `build: auto`; none where those of a table do."""

    def method(self, needs: Needs) -> Options:
        """What the column becomes where `prepare.features` says nothing."""

    def block(self, name: str, method: Any, table: Table, training: Any) -> ModalityBlock:
        """Fit a method (a plug-in of the kind `feature`) on the training rows. `training`:
        `prepare.step.Training`.
        """


@cache
def modality_of(kind: str) -> Modality:
    """The modality of a kind of column. Raises RecipeError where there is none of this name."""
    found: Modality = MODALITY.load(kind)()
    return found


@cache
def every_modality() -> tuple[tuple[str, Modality], ...]:
    """All, by name; imports them."""
    return tuple((name, modality_of(name)) for name in MODALITY.names())


def is_modality(kind: str) -> bool:
    """Whether columns of a kind are read by a modality."""
    return kind not in PLAIN_KINDS and kind != IDENTIFIER
