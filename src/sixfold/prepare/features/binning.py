"""Numbers into intervals, as their number or one column an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training, same
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class Bins(State):
    """`edges`: float64 [m, bins - 1] inner edges, +inf where a column has fewer; x is in bin
    #{edges <= x}.
    """

    edges: FloatArray
    one_hot: bool

    def _counts(self) -> IntArray:
        return np.asarray(np.isfinite(self.edges).sum(axis=1) + 1)

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → the bin's number [rows, m], or 0 and 1 [rows, sum of bins]; a missing value
        is in bin 0.
        """
        pairs = zip(x.T, self.edges, strict=True)
        number = np.stack(
            [
                np.searchsorted(edges, np.nan_to_num(v, nan=-np.inf), side="right")
                for v, edges in pairs
            ],
            axis=1,
        )
        if not self.one_hot:
            return number.astype(np.float64)
        source, wanted = self._layout()
        return np.asarray(number[:, source] == wanted, dtype=np.float64)

    def _layout(self) -> tuple[IntArray, IntArray]:
        counts = self._counts()
        return np.repeat(np.arange(len(counts)), counts), np.concatenate(
            [np.arange(count) for count in counts]
        )

    def export(self, graph: Graph, x: str) -> str:
        """Count the edges at or below x; compare with each bin's number."""
        x_nm1 = graph.op("Unsqueeze", x, graph.constant([2], np.int64))
        above = graph.op("LessOrEqual", graph.constant(self.edges[None]), x_nm1)
        axes = graph.constant([2], np.int64)
        number = graph.op("ReduceSum", graph.cast(above, TensorProto.INT64), axes, keepdims=0)
        if not self.one_hot:
            return graph.cast(number, TensorProto.DOUBLE)
        source, wanted = self._layout()
        equal = graph.op(
            "Equal", graph.take_columns(number, source), graph.constant(wanted, np.int64)
        )
        return graph.cast(equal, TensorProto.DOUBLE)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`age` or `age bin 3`."""
        if not self.one_hot:
            return same(names)
        return tuple(
            FittedFeatures(f"{names[s]} bin {b}", int(s))
            for s, b in zip(*self._layout(), strict=True)
        )


class Settings(Section):
    """Numbers into intervals with equally many training rows, or of equal width."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"

    bins: int = Field(10, ge=2, le=1000, description="Intervals a column, at most.")
    strategy: Literal["quantile", "uniform"] = Field(
        "quantile", description="Equally many rows, or equal width."
    )
    encode: Literal["one_hot", "ordinal"] = Field(
        "one_hot", description="One column an interval, or its number."
    )

    def fit(self, x: Block, training: Training) -> Bins:
        """Edges from training rows; equal ones count once."""
        shares = np.linspace(0.0, 1.0, self.bins + 1)[1:-1]
        edges = np.full((x.shape[1], self.bins - 1), np.inf)
        for column, values in enumerate(x.T):
            low, high = np.nanmin(values), np.nanmax(values)
            found = (
                np.nanpercentile(values, shares * 100)
                if self.strategy == "quantile"
                else low + shares * (high - low)
            )
            distinct = np.unique(found)
            distinct = distinct[distinct > low]
            edges[column, : len(distinct)] = distinct
        return Bins(edges, self.encode == "one_hot")
