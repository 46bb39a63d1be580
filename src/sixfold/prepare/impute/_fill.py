"""One value a column: what mean, median, most_frequent and constant learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, same
from sixfold.prepare.vocabulary import MISSING


@dataclass(frozen=True)
class Fill(State):
    """`values`: float64 [m] for numbers, int64 [m] codes for categories."""

    values: FloatArray | IntArray

    def transform(self, x: Block) -> Block:
        """Missing values replaced, [rows, m]."""
        missing = np.isnan(x) if x.dtype.kind == "f" else x == MISSING
        return np.where(missing, self.values, x)

    def export(self, graph: Graph, x: str) -> str:
        """Where(missing, value, x)."""
        if self.values.dtype.kind == "f":
            missing = graph.op("IsNaN", x)
        else:
            missing = graph.op("Equal", x, graph.constant(MISSING, np.int64))
        return graph.op("Where", missing, graph.constant(self.values), x)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


def most_frequent_code(x: IntArray) -> IntArray:
    """Of each column of codes the most frequent one, the lowest of equals; -2 (unseen) where all are missing."""
    modes = []
    for column in x.T:
        counts = np.bincount(column[column >= 0])
        modes.append(int(counts.argmax()) if len(counts) else -2)
    return np.array(modes, dtype=np.int64)
