"""x - shift, in double: columns whose variation is small against their size reach what follows as
numbers of its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import FittedFeatures, same


@dataclass(frozen=True)
class Centering(State):
    """`shift`: float64 [m], 0 for columns that stay as they are, to the bit."""

    shift: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        return x - self.shift

    def export(self, graph: Graph, x: str) -> str:
        """Sub."""
        return graph.op("Sub", x, graph.constant(self.shift))

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)
