"""A number for every code of every category column: what one_hot and target look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray


@dataclass(frozen=True)
class Lookup(State):
    """`flat`: the columns' tables one after the other; each holds unseen, missing, code 0, code 1
    …; `offset`: [m].
    """

    flat: FloatArray
    offset: IntArray

    @classmethod
    def of_tables(cls, tables: Sequence[FloatArray]) -> Lookup:
        """One table a column, each of length codes + 2."""
        starts = np.cumsum([0, *(len(table) for table in tables)])[:-1]
        return cls(np.concatenate(tables), starts.astype(np.int64) + 2)

    def of(self, codes: IntArray) -> FloatArray:
        """[rows, m] → [rows, m]."""
        return np.asarray(self.flat[codes + self.offset])

    def export(self, graph: Graph, codes: str) -> str:
        """Add, Gather."""
        return graph.op(
            "Gather", graph.constant(self.flat), graph.op("Add", codes, graph.constant(self.offset))
        )
