"""A category becomes the mean target of its training rows, drawn toward the overall mean
(Micci-Barreca, 2001).
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
from sixfold.parts.units import deal
from sixfold.prepare.codes import Lookup
from sixfold.prepare.step import Block, FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section


@dataclass(frozen=True)
class TargetMeans(State):
    """One lookup an output: (sum of y + smoothing · prior) / (rows + smoothing); unseen and
    missing: the prior.
    """

    means: tuple[Lookup, ...]

    def transform(self, x: IntArray) -> FloatArray:
        """Codes [rows, m] → [rows, m · outputs], output by output."""
        return np.concatenate([lookup.of(x) for lookup in self.means], axis=1)

    def export(self, graph: Graph, x: str) -> str:
        """A Gather an output."""
        return graph.concat([lookup.export(graph, x) for lookup in self.means])

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`city target 0`."""
        outputs = range(len(self.means))
        return tuple(
            FittedFeatures(f"{name} target {o}", i) for o in outputs for i, name in enumerate(names)
        )


class Settings(Section):
    """A category becomes the smoothed mean target of its training rows.

    Training rows get it cross-fitted: from the other folds, never from themselves, so that a rare
    category cannot whisper the answer. Two classes give one column, more give one each.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"category"})
    role: ClassVar[Role] = "change"

    smoothing: float = Field(
        10.0, ge=0, description="Rows' worth of the overall mean that is mixed in."
    )
    folds: int = Field(5, ge=2, description="Folds of the cross-fitting.")

    def fit(self, x: Block, training: Training) -> TargetMeans:
        """The means over all training rows."""
        return self._means(x, _values(training), _sizes(training))

    def fit_cross(self, x: Block, training: Training) -> tuple[TargetMeans, Block]:
        """The step is from all training rows; the training rows' own features are from the other
        folds.
        """
        y, sizes = _values(training), _sizes(training)
        step = self._means(x, y, sizes)
        result = step.transform(x)
        for part in self._parts(len(x), training):
            others = np.ones(len(x), dtype=np.bool_)
            others[part] = False
            if len(part) and others.any():
                result[part] = self._means(x[others], y[others], sizes).transform(x[part])
        return step, result

    def _parts(self, rows: int, training: Training) -> list[IntArray]:
        """The folds of the cross-fitting; rows of a group are in one."""
        if training.groups is not None:
            fold_of = deal(
                np.zeros(rows, dtype=np.int64), training.groups, self.folds, training.seed
            )
            return [np.flatnonzero(fold_of == fold) for fold in range(self.folds)]
        return np.array_split(
            np.random.default_rng(training.seed).permutation(rows), min(self.folds, rows)
        )

    def _means(self, x: IntArray, y: FloatArray, sizes: Sequence[int]) -> TargetMeans:
        lookups = []
        for values in y.T:
            prior = values.mean()
            tables = []
            for column, size in enumerate(sizes):
                known = x[:, column] >= 0
                codes = x[known, column]
                total = np.bincount(codes, weights=values[known], minlength=size)
                rows = np.bincount(codes, minlength=size)
                weight = np.where(rows + self.smoothing > 0, rows + self.smoothing, 1.0)
                mean = np.where(rows > 0, (total + self.smoothing * prior) / weight, prior)
                tables.append(np.concatenate([[prior, prior], mean]))
            lookups.append(Lookup.of_tables(tables))
        return TargetMeans(tuple(lookups))


def _values(training: Training) -> FloatArray:
    two_classes = training.task == "classification" and training.y.shape[1] == 2
    return training.y[:, 1:] if two_classes else training.y


def _sizes(training: Training) -> list[int]:
    return [
        len(levels) + 1 for levels in training.levels
    ]  # a missing value may be a level of its own
