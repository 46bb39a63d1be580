"""(x - shift) / scale: what standard, min_max and robust learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import FittedFeatures, same


@dataclass(frozen=True)
class Affine(State):
    """`shift`, `scale`: float64 [m]; a scale is never 0."""

    shift: FloatArray
    scale: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        return (x - self.shift) / self.scale

    def export(self, graph: Graph, x: str) -> str:
        """Sub, Div."""
        return graph.op("Div", graph.op("Sub", x, graph.constant(self.shift)), graph.constant(self.scale))

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)
