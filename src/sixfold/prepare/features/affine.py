"""(x - shift) / scale, by three ways to learn shift and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import numpy as np

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.parts.weights import known, mean, quantile, std
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training, same
from sixfold.recipe.section import Section

PLUGINS: Final = {
    "min_max": "MinMax",
    "robust": "Robust",
    "standard": "Standard",
}


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
        return graph.op(
            "Div", graph.op("Sub", x, graph.constant(self.shift)), graph.constant(self.scale)
        )

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


class Standard(Section):
    """(x - mean) / standard deviation (n, not n - 1); a constant column becomes 0."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        if training.weights is None:
            shift, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        else:
            shift = known(x, training.weights, mean)
            scale = known(x, training.weights, std)
        return Affine(shift, np.where(scale > 0, scale, 1.0))


class MinMax(Section):
    """(x - minimum) / (maximum - minimum): training rows lie in [0, 1]."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        shift = np.nanmin(x, axis=0)
        scale = np.nanmax(x, axis=0) - shift
        return Affine(shift, np.where(scale > 0, scale, 1.0))


class Robust(Section):
    """(x - median) / (75th - 25th percentile): outliers hardly count."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    role: ClassVar[Role] = "change"
    keeps_order: ClassVar[bool] = True

    def fit(self, x: Block, training: Training) -> Affine:
        """Learn from training rows, [rows, m]."""
        if training.weights is None:
            low, shift, high = np.nanpercentile(x, [25.0, 50.0, 75.0], axis=0)
        else:
            low, shift, high = (
                known(x, training.weights, partial(quantile, at=at)) for at in (0.25, 0.5, 0.75)
            )
        scale = high - low
        return Affine(shift, np.where(scale > 0, scale, 1.0))
