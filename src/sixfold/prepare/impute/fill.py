"""One value for all that is missing in a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.parts.weights import known, mean, quantile
from sixfold.prepare.step import Block, FittedFeatures, Takes, Training, same
from sixfold.prepare.vocabulary import MISSING, UNSEEN
from sixfold.recipe.section import Section

PLUGINS: Final = {
    "constant": "ConstantFill",
    "mean": "MeanFill",
    "median": "MedianFill",
    "most_frequent": "MostFrequentFill",
}


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


def most_frequent_code(x: IntArray, weights: FloatArray | None = None) -> IntArray:
    """Of each column of codes the most frequent one, the lowest of equals; -2 (unseen) where all
    are missing.
    """
    modes = []
    for column in x.T:
        there = column >= 0
        counts = np.bincount(column[there], None if weights is None else weights[there])
        modes.append(int(counts.argmax()) if len(counts) else -2)
    return np.array(modes, dtype=np.int64)


class MeanFill(Section):
    """A missing number becomes the mean of its column."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if training.weights is not None:
            return Fill(known(x, training.weights, mean))
        return Fill(np.nanmean(x, axis=0))


class MedianFill(Section):
    """A missing number becomes the median of its column."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if training.weights is not None:
            return Fill(known(x, training.weights, partial(quantile, at=0.5)))
        return Fill(np.nanmedian(x, axis=0))


class MostFrequentFill(Section):
    """A missing value becomes the most frequent one of its column (the lowest of equals)."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"number", "category"})
    joint: ClassVar[bool] = False

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if x.dtype.kind != "f":
            step = Fill(most_frequent_code(x, training.weights))
        else:
            step = Fill(np.array([_mode(column, training.weights) for column in x.T]))
        return step


def _mode(column: FloatArray, weights: FloatArray | None) -> float:
    there = ~np.isnan(column)
    distinct, place = np.unique(column[there], return_inverse=True)
    counts = np.bincount(place, None if weights is None else weights[there])
    return float(distinct[counts.argmax()])


class ConstantFill(Section):
    """A missing number becomes `value`; a missing category becomes a level of its own, when
    training rows lack some.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number", "category"})
    joint: ClassVar[bool] = False

    value: float = Field(0.0, description="What missing numbers become.")

    def fit(self, x: Block, training: Training) -> Fill:
        """Learn from training rows, [rows, m]."""
        if x.dtype.kind == "f":
            step = Fill(np.full(x.shape[1], self.value))
        else:
            own = [len(levels) for levels in training.levels]
            step = Fill(np.where((x == MISSING).any(axis=0), own, UNSEEN).astype(np.int64))
        return step
