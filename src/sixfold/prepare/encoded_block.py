"""A column of a modality as one fitted state, beside the blocks of other columns: its method says what a reader makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sixfold.parts.fit import FeatureGroup, FeatureKind, Features
from sixfold.parts.graph import Graph
from sixfold.parts.modality import modality_of
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.prepare.step import FittedFeatures, Training
from sixfold.recipe.encoded import EncodedInput


class EncodedStep(Protocol):
    """A fitted method that takes values of a modality: what it does stands in `described`, which serving reads."""

    @property
    def kind(self) -> FeatureKind:
        """What its features are."""

    def transform(self, values: Sequence[Any]) -> Features:
        """Values → [rows, features] float64, as the reader's encoder gives them."""

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """Name and source of each."""

    def described(self, column: str) -> EncodedInput:
        """What the reader's encoder has to know, about `column`; the graph gives it its name."""


@dataclass(frozen=True)
class EncodedBlock(State):
    """One raw column of `modality` → features by `step`, an `EncodedStep`. Of every feature `names`, `sources`, `levels`."""

    modality: str
    columns: tuple[str, ...]
    step: Any
    names: tuple[str, ...]
    sources: tuple[str, ...]
    levels: tuple[int, ...]

    @property
    def steps(self) -> tuple[Any, ...]:
        """As of a `Block`."""
        return (self.step,)

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        kind: FeatureKind = self.step.kind
        codes = max(self.levels) if kind == "tokens" else 0
        return FeatureGroup(kind, self.columns, start, start + len(self.names), tokens=codes)

    def reader(self, table: Table) -> Callable[[slice], Features]:
        """Gives the features of some rows."""
        column, modality = table.columns[self.columns[0]], modality_of(self.modality)

        def read(rows: slice) -> Features:
            found: Features = self.step.transform(modality.values(column.at(rows)))
            return found

        return read

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The reader's features of the column, double."""
        return inputs.encoded(self.modality, self.step.described(self.columns[0]))


def fit_encoded(name: str, method: Any, table: Table, training: Training) -> EncodedBlock:
    """Fit on the values of a column of `table`."""
    column = table.columns[name]
    step = method.fit(modality_of(column.kind).values(column), training)
    found = step.features((name,))
    names, levels = tuple(each.name for each in found), tuple(each.levels for each in found)
    return EncodedBlock(column.kind, (name,), step, names, (name,) * len(found), levels)
