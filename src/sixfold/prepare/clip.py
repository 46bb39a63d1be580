"""Numbers brought back into learned bounds: what outlier methods with `action: clip` leave in the
preparer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import FittedFeatures, same


@dataclass(frozen=True)
class Clip(State):
    """`low`, `high`: float64 [m]."""

    low: FloatArray
    high: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        return np.clip(x, self.low, self.high)

    def export(self, graph: Graph, x: str) -> str:
        """Two comparisons: they leave NaN alone."""
        low, high = graph.constant(self.low), graph.constant(self.high)
        lifted = graph.op("Where", graph.op("Less", x, low), low, x)
        return graph.op("Where", graph.op("Greater", lifted, high), high, lifted)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)
