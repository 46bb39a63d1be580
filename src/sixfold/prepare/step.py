"""What every method of preparation implements, and what it may look at while it is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from sixfold.parts.graph import Graph
from sixfold.parts.table import FloatArray, IntArray, Target, Task

Block = npt.NDArray[
    Any
]  # float64 [rows, m] for numbers, int64 [rows, m] codes for categories (-1 missing, -2 unseen)
Takes: TypeAlias = (
    str  # number, category, date (a number of seconds too), or the name of a modality
)
Role = Literal["change", "select", "reduce"]


class FittedFeatures(NamedTuple):
    """One column of a step's result: its name, which input column it comes from (-1: several), and
    of a category's code how many codes there are (0: it is a number).
    """

    name: str
    source: int
    levels: int = 0


@dataclass(frozen=True)
class Training:
    """The training rows' side of a fit. `y`: float64 [rows, outputs], classes as one column of 0
    and 1 each.

    `levels`: for categories, the known values of each input column (codes index them). `groups`:
    [rows] equal numbers for rows that stay together where a method is cross-fitted; None: each is
    alone. `weights`: [rows], above 0, how often each counts; None: once.
    """

    names: tuple[str, ...]
    y: FloatArray
    task: Task
    seed: int
    levels: tuple[tuple[str, ...], ...] = ()
    groups: IntArray | None = None
    weights: FloatArray | None = None


class PreparationStep(Protocol):
    """A fitted method: a State that is applied by NumPy and by the graph, with equal results."""

    def transform(self, x: Block) -> Block:
        """[rows, m] → [rows, features]."""

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes of the graph."""

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """Name and source of each result."""


class Method(Protocol):
    """An unfitted method: a plug-in's Settings."""

    takes: ClassVar[frozenset[Takes]]

    def fit(self, x: Block, training: Training) -> PreparationStep:
        """Fit on training rows, [rows, m]."""


@runtime_checkable
class CrossFitted(Protocol):
    """Ability of a method: what a training row becomes is learned from other training rows."""

    def fit_cross(self, x: Block, training: Training) -> tuple[PreparationStep, Block]:
        """The step for every other row, and the training rows' own result."""


@runtime_checkable
class KeepsOrder(Protocol):
    """Ability of a method: one feature a column, which rises where the column's values rise."""

    keeps_order: ClassVar[bool]


@runtime_checkable
class ReadsFolder(Protocol):
    """Ability of a method: what it makes depends on files that the recipe names."""

    def content_digest(self) -> str:
        """SHA-256 of what they hold, '' where its options name none. Raises DataError where they
        are not there.
        """


def same(names: Sequence[str]) -> tuple[FittedFeatures, ...]:
    """For steps that change values, not columns."""
    return tuple(FittedFeatures(name, number) for number, name in enumerate(names))


def outputs(target: Target) -> FloatArray:
    """What a method compares with: float64 [rows, outputs], classes as one column of 0 and 1
    each.
    """
    if target.task == "classification":
        return np.asarray(
            target.values[:, None] == np.arange(len(target.classes)), dtype=np.float64
        )
    return np.asarray(target.values, dtype=np.float64).reshape(len(target.values), -1)
