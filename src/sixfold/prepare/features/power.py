"""Yeo-Johnson power transform (2000): makes skewed numbers more like normal ones, then
standardizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.preprocessing import PowerTransformer

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import BoolArray, FloatArray
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training, same
from sixfold.recipe.section import Section

NEAR = 1e-12  # an exponent this near to 0 means the logarithm


@dataclass(frozen=True)
class YeoJohnson(State):
    """`power`, `shift`, `scale`: float64 [m]. With a = max(x, 0) and b = max(-x, 0):

    ((a + 1)^λ - 1) / λ - ((b + 1)^(2 - λ) - 1) / (2 - λ), logarithms where an exponent is 0; then
    (· - shift) / scale.
    """

    power: FloatArray
    shift: FloatArray
    scale: FloatArray

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m]; NaN stays NaN."""
        upper = _side(np.maximum(x, 0.0) + 1.0, self.power)
        lower = _side(np.maximum(-x, 0.0) + 1.0, 2.0 - self.power)
        return (upper - lower - self.shift) / self.scale

    def export(self, graph: Graph, x: str) -> str:
        """The same, both sides for every row."""
        zero, one = graph.constant(0.0, np.float64), graph.constant(1.0, np.float64)
        upper = _export_side(graph, graph.op("Add", graph.op("Max", x, zero), one), self.power)
        lower = _export_side(
            graph, graph.op("Add", graph.op("Max", graph.op("Neg", x), zero), one), 2.0 - self.power
        )
        centered = graph.op("Sub", graph.op("Sub", upper, lower), graph.constant(self.shift))
        scaled = graph.op("Div", centered, graph.constant(self.scale))
        return graph.op("Where", graph.op("IsNaN", x), x, scaled)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


def _exponents(power: FloatArray) -> tuple[BoolArray, FloatArray]:
    logarithm = np.abs(power) < NEAR
    return logarithm, np.where(logarithm, 1.0, power)


def _side(base: FloatArray, power: FloatArray) -> FloatArray:
    logarithm, safe = _exponents(power)
    return np.where(logarithm, np.log(base), (base**safe - 1.0) / safe)


def _export_side(graph: Graph, base: str, power: FloatArray) -> str:
    logarithm, safe = _exponents(power)
    raised = graph.op(
        "Sub", graph.op("Pow", base, graph.constant(safe)), graph.constant(1.0, np.float64)
    )
    quotient = graph.op("Div", raised, graph.constant(safe))
    if not logarithm.any():
        return quotient
    return graph.op("Where", graph.constant(logarithm), graph.op("Log", base), quotient)


class Settings(Section):
    """Yeo-Johnson power transform: skewed numbers become more like normal ones; standardized."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    def fit(self, x: Block, training: Training) -> YeoJohnson:
        """The powers of greatest likelihood, by scikit-learn."""
        fitted = PowerTransformer(standardize=False).fit(x)
        step = YeoJohnson(fitted.lambdas_, np.zeros(x.shape[1]), np.ones(x.shape[1]))
        raw = step.transform(x)
        spread = np.nanstd(raw, axis=0)
        return YeoJohnson(
            fitted.lambdas_, np.nanmean(raw, axis=0), np.where(spread > 0, spread, 1.0)
        )
