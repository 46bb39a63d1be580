"""A column of text as one fitted state, beside the blocks of other columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sixfold.parts.fit import FeatureGroup, FeatureKind, Features
from sixfold.parts.graph import Graph
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import Table
from sixfold.prepare.step import Training


@dataclass(frozen=True)
class TextBlock(State):
    """One raw column → features by `step`. Of every feature `names`, `sources`, `levels`, as of a `Block`."""

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

    def reader(self, table: Table) -> Callable[[slice], list[str]]:
        """Gives the texts of some rows, '' for a missing one."""
        column = table.columns[self.columns[0]]
        levels = (*column.levels, "")
        return lambda rows: [levels[code] for code in column.values[rows].tolist()]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was learned of the column, in sentences."""
        return tuple(f"Text '{self.columns[0]}': {text}." for text in self.step.notes)

    def transform(self, texts: list[str]) -> Features:
        """[rows, features]; n-grams sparse."""
        found: Features = self.step.transform(texts)
        return found

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """Its features, double, of what the front end makes of the column."""
        value: str = self.step.export_column(self.columns[0], graph, inputs)
        return value


def fit_text_block(name: str, method: Any, table: Table, training: Training) -> TextBlock:
    """Fit on the texts of `table`."""
    column = table.columns[name]
    step = method.fit(column.strings(), training)
    found = step.features((name,))
    names, levels = tuple(each.name for each in found), tuple(each.levels for each in found)
    return TextBlock((name,), step, names, (name,) * len(found), levels)
