"""A column of text as one fitted state, beside the blocks of other columns: its features come without the zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy.sparse import csr_array

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

    def reader(self, table: Table) -> Callable[[slice], list[str]]:
        """Gives the texts of some rows, '' for a missing one."""
        column = table.columns[self.columns[0]]
        levels = (*column.levels, "")
        return lambda rows: [levels[code] for code in column.at(rows).tolist()]

    def transform(self, texts: list[str]) -> csr_array:
        """[rows, features]."""
        found: csr_array = self.step.transform(texts)
        return found

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The front end's features of the column, double."""
        return inputs.text(self.columns[0], self.step.parts)


def fit_text_block(name: str, method: Any, table: Table, training: Training) -> TextBlock:
    """Fit on the texts of `table`."""
    column = table.columns[name]
    step = method.fit(column.strings(), training)
    found = step.features((name,))
    names, levels = tuple(each.name for each in found), tuple(each.levels for each in found)
    return TextBlock((name,), step, names, (name,) * len(found), levels)
