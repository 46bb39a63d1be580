"""A column of a modality as one fitted state, beside the blocks of other columns: its method says
what a reader makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from sixfold.parts.fit import FeatureGroup, FeatureKind, Features
from sixfold.parts.graph import Graph
from sixfold.parts.modality import modality_of
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.prepare.step import FittedFeatures, Training
from sixfold.recipe.encoded import EncodedInput


class EncodedStep(Protocol):
    """A fitted method that takes values of a modality: what it does stands in `described`, which
    serving reads.
    """

    @property
    def kind(self) -> FeatureKind:
        """What its features are."""

    def transform(self, values: Sequence[Any]) -> Features:
        """Values → [rows, features] float64, as the reader's encoder gives them."""

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """Name and source of each."""

    def described(self, column: str) -> EncodedInput:
        """What the reader's encoder has to know, about `column`; the graph gives it its name."""


@runtime_checkable
class ContinuesInGraph(Protocol):
    """Ability of a fitted method: its features are computed by the graph from what the encoder
    gives.
    """

    def export_encoded(self, graph: Graph, value: str) -> str:
        """Nodes from `value`, double [rows, cells], to the features, double."""


@runtime_checkable
class Tokenized(Protocol):
    """Ability of a fitted method: it gives codes of tokens."""

    @property
    def tokenizer(self) -> str:
        """SHA-256 of the checkpoint's whose codes these are; '' where they were learned."""


@runtime_checkable
class Learned(Protocol):
    """Ability of a fitted method: `notes` say what was learned, in parts of sentences; `grows`:
    further rows bring further features.
    """

    grows: ClassVar[bool]

    @property
    def notes(self) -> tuple[str, ...]:
        """`8,000 pieces, 64 tokens a text`."""


@dataclass(frozen=True)
class EncodedBlock(State):
    """One raw column of `modality` → features by `step`, an `EncodedStep`. Of every feature
    `names`, `sources`, `levels`.
    """

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

    @property
    def notes(self) -> tuple[str, ...]:
        """What was learned of the column, in sentences."""
        found = self.step.notes if isinstance(self.step, Learned) else ()
        return tuple(f"{self.modality.capitalize()} '{self.columns[0]}': {text}." for text in found)

    @property
    def grows(self) -> bool:
        """Whether further rows bring more features."""
        return isinstance(self.step, Learned) and self.step.grows

    def group(self, start: int) -> FeatureGroup:
        """What its features are, the first of which is feature `start`."""
        kind: FeatureKind = self.step.kind
        codes = max(self.levels) if kind == "tokens" else 0
        tokenizer = self.step.tokenizer if isinstance(self.step, Tokenized) else ""
        return FeatureGroup(
            kind, self.columns, start, start + len(self.names), tokens=codes, tokenizer=tokenizer
        )

    def reader(self, table: Table) -> Callable[[slice], Features]:
        """Gives the features of some rows."""
        column, modality = table.columns[self.columns[0]], modality_of(self.modality)

        def read(rows: slice) -> Features:
            found: Features = self.step.transform(modality.values(column.with_own_levels(rows)))
            return found

        return read

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The features of the column, double: what the reader gives, or what the graph makes of
        that.
        """
        value = inputs.encoded(self.modality, self.step.described(self.columns[0]))
        return (
            self.step.export_encoded(graph, value)
            if isinstance(self.step, ContinuesInGraph)
            else value
        )


def fit_encoded(name: str, method: Any, table: Table, training: Training) -> EncodedBlock:
    """Fit on the values of a column of `table`."""
    column = table.columns[name]
    step = method.fit(modality_of(column.kind).values(column), training)
    found = step.features((name,))
    names, levels = tuple(each.name for each in found), tuple(each.levels for each in found)
    return EncodedBlock(column.kind, (name,), step, names, (name,) * len(found), levels)
