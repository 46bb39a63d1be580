"""A category becomes the number of its place in the sorted list of categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Ordinal(State):
    """The code itself; -1 for a value that was never seen, and for a missing one that no imputer
    replaced.

    `levels`: int64 [m], how many codes from 0 on each column may have.
    """

    levels: IntArray

    def transform(self, x: IntArray) -> FloatArray:
        """Codes [rows, m] → [rows, m]."""
        return np.maximum(x, -1).astype(np.float64)

    def export(self, graph: Graph, x: str) -> str:
        """Max, Cast."""
        return graph.cast(graph.op("Max", x, graph.constant(-1, np.int64)), TensorProto.DOUBLE)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return tuple(
            FittedFeatures(name, at, int(self.levels[at])) for at, name in enumerate(names)
        )


class Settings(Section):
    """A category becomes the number of its place in the sorted list of categories: for trees."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"category"})
    role: ClassVar[Role] = "change"

    def fit(self, x: Block, training: Training) -> Ordinal:
        """Nothing beyond the vocabulary is learned."""
        own = np.array([len(levels) for levels in training.levels], dtype=np.int64)
        return Ordinal(
            np.maximum(own, x.max(axis=0) + 1)
        )  # an imputer may have made one more of the missing values
