"""A number becomes how far it has come through each of some intervals: a sum of its features bends
at their edges.

Gorishniy, Rubachev and Babenko, On embeddings for numerical features in tabular deep learning,
2022, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Pieces(State):
    """min(max((x − low) / width, floor), ceiling). All [features]; `source`: int64, the column that
    each feature is made of.

    `floor` is 0, but −∞ in a column's first interval; `ceiling` is 1, but +∞ in its last: beyond
    them the line goes on.
    """

    source: IntArray
    low: FloatArray
    width: FloatArray
    floor: FloatArray
    ceiling: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, features]; NaN stays NaN."""
        share = (x[:, self.source] - self.low) / self.width
        return np.minimum(np.maximum(share, self.floor), self.ceiling)

    def export(self, graph: Graph, x: str) -> str:
        """Gather, Sub, Div; Where instead of Max and Min, which may lose a NaN."""
        offset = graph.op(
            "Sub", graph.take_columns(x, self.source), graph.constant(self.low, np.float64)
        )
        share = graph.op("Div", offset, graph.constant(self.width, np.float64))
        for limit, beyond in ((self.floor, "Less"), (self.ceiling, "Greater")):
            bound = graph.constant(limit, np.float64)
            share = graph.op("Where", graph.op(beyond, share, bound), bound, share)
        return share

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`age piece 3`, or `age` where a column has one interval."""
        found, counts = [], np.bincount(self.source, minlength=len(names))
        for at, source in enumerate(self.source):
            number = at - int(np.searchsorted(self.source, source))
            name = f"{names[source]} piece {number}" if counts[source] > 1 else names[source]
            found.append(FittedFeatures(name, int(source)))
        return tuple(found)


class Settings(Section):
    """Piecewise-linear encoding: one feature an interval between quantiles; 0 below it, 1 above it,
    the share within it.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    bins: int = Field(
        16, ge=1, le=1000, description="Intervals a column, at most: equal quantiles count once."
    )

    def fit(self, x: Block, training: Training) -> Pieces:
        """Quantiles of the training rows; a column of one value is 0."""
        parts = []
        for column, values in enumerate(x.T):
            edges = np.unique(np.nanpercentile(values, np.linspace(0.0, 100.0, self.bins + 1)))
            edges = edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])
            floor, ceiling = np.zeros(len(edges) - 1), np.ones(len(edges) - 1)
            floor[0], ceiling[-1] = -np.inf, np.inf
            parts.append(
                (np.full(len(edges) - 1, column), edges[:-1], np.diff(edges), floor, ceiling)
            )
        source, *rest = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Pieces(source.astype(np.int64), *rest)
