"""x becomes its rank among the training rows: uniform in [0, 1], or a normal score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.stats import norm

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training, same
from sixfold.recipe.section import Section

TAIL = 1e-7  # ranks are kept this far from 0 and 1 before they become normal scores, as in scikit-learn


@dataclass(frozen=True)
class Ranks(State):
    """Piecewise linear through (`knots`, `marks`): float64 [q, m] sorted, and [q].

    Where knots are equal, the mean of coming from the left and from the right, as in scikit-learn.
    """

    knots: FloatArray
    marks: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        result = np.empty_like(x)
        for column, knots in enumerate(self.knots.T):
            values = x[:, column]
            right = np.interp(values, knots, self.marks)
            left = -np.interp(-values, -knots[::-1], -self.marks[::-1])
            result[:, column] = 0.5 * (right + left)
        return result

    def export(self, graph: Graph, x: str) -> str:
        """How many knots lie at or below x, and strictly below: the two segments, interpolated by
        Gather.
        """
        knots_1mq = graph.constant(self.knots.T[None])
        x_nm1 = graph.op("Unsqueeze", x, graph.constant([2], np.int64))
        at_or_below = graph.op("LessOrEqual", knots_1mq, x_nm1)
        below = graph.op("Less", knots_1mq, x_nm1)
        sides = [self._side(graph, x, self._count(graph, mask)) for mask in (at_or_below, below)]
        half = graph.op("Mul", graph.op("Add", *sides), graph.constant(0.5, np.float64))
        return graph.op("Where", graph.op("IsNaN", x), x, half)

    def _count(self, graph: Graph, mask: str) -> str:
        axes = graph.constant([2], np.int64)
        return graph.op("ReduceSum", graph.cast(mask, TensorProto.INT32), axes, keepdims=0)

    def _side(self, graph: Graph, x: str, count: str) -> str:
        """With `count` knots to the left of x, it lies between knot count - 1 and knot count
        (clipped at the ends).
        """
        q, m = self.knots.shape
        one, last = graph.constant(1, np.int32), graph.constant(q - 1, np.int32)
        high = graph.op("Min", graph.op("Max", count, one), last)
        low = graph.op("Sub", high, one)
        offset = graph.constant(np.arange(m) * q, np.int32)
        flat_knots, flat_marks = (
            graph.constant(self.knots.T.ravel()),
            graph.constant(np.tile(self.marks, m)),
        )
        at = {
            name: graph.op("Add", index, offset) for name, index in (("low", low), ("high", high))
        }
        k0, k1 = (graph.op("Gather", flat_knots, at[name]) for name in ("low", "high"))
        m0, m1 = (graph.op("Gather", flat_marks, at[name]) for name in ("low", "high"))
        gap = graph.op("Sub", k1, k0)
        zero, unit = graph.constant(0.0, np.float64), graph.constant(1.0, np.float64)
        safe = graph.op("Where", graph.op("Equal", gap, zero), unit, gap)
        share = graph.op("Div", graph.op("Sub", x, k0), safe)
        inside = graph.op("Min", graph.op("Max", share, zero), unit)
        line = graph.op("Add", m0, graph.op("Mul", inside, graph.op("Sub", m1, m0)))
        first = graph.op("Equal", count, graph.constant(0, np.int32))
        end = graph.op("Equal", count, graph.constant(q, np.int32))
        from_left = graph.op("Where", first, graph.constant(self.marks[0]), line)
        return graph.op("Where", end, graph.constant(self.marks[-1]), from_left)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


class Settings(Section):
    """A value becomes its rank among the training rows: uniform in [0, 1], or the normal score of
    that rank.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    quantiles: int = Field(
        100, ge=2, le=10_000, description="Points of the rank curve; between them it is linear."
    )
    output: Literal["uniform", "normal"] = Field(
        "uniform", description="The distribution that training rows get."
    )

    def fit(self, x: Block, training: Training) -> Ranks:
        """Quantiles of the training rows."""
        ranks = np.linspace(0.0, 1.0, min(self.quantiles, max(2, len(x))))
        knots = np.maximum.accumulate(np.nanpercentile(x, ranks * 100, axis=0), axis=0)
        marks = ranks if self.output == "uniform" else norm.ppf(np.clip(ranks, TAIL, 1 - TAIL))
        return Ranks(knots, np.asarray(marks, dtype=np.float64))
