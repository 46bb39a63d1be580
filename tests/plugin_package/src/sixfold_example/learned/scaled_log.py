"""What signed_log learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import FittedFeatures, same


@dataclass(frozen=True)
class ScaledLog(State):
    """`scale`: float64 [m], above 0."""

    scale: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        moved: FloatArray = np.sign(x) * np.log(1.0 + np.abs(x) / self.scale)
        return moved

    def export(self, graph: Graph, x: str) -> str:
        """Neg, Max, Div, Add, Log, Less, Where."""
        size = graph.op("Div", graph.op("Max", x, graph.op("Neg", x)), graph.constant(self.scale))
        moved = graph.op("Log", graph.op("Add", size, graph.constant([1.0])))
        below = graph.op("Less", x, graph.constant([0.0]))
        return graph.op("Where", below, graph.op("Neg", moved), moved)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)
