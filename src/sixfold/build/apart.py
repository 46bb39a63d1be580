"""Several values or quantiles of a row, by families that learn one at a time: a model for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sixfold.build.family import Family
from sixfold.parts.fit import Fit, Fitted, Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.runs.context import Context


@dataclass(frozen=True)
class FittedApart(State):
    """A model for each value or quantile, in their order."""

    parts: tuple[Fitted, ...]

    @property
    def output(self) -> OutputKind:
        """Values."""
        return "value"

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features] → [rows, outputs] float64."""
        return np.concatenate([part.predict(x) for part in self.parts], axis=1)

    def export(self, graph: Graph, x: str) -> str:
        """The nodes of each, side by side."""
        columns = [graph.cast(part.export(graph, x), TensorProto.DOUBLE) for part in self.parts]
        return graph.concat(columns)


def fit_all(family: Family, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
    """As `Family.fit`, of any number of values or quantiles of a row."""
    if not fits or fits[0].outputs == 1 or _at_once(family, fits[0]):
        return family.fit(fits, context)
    return _fit_apart(family, fits, context)


def _fit_apart(family: Family, fits: Sequence[Fit], context: Context) -> Iterator[Fitted]:
    grid = list(_on_same_rows(fits))
    parts = [part for same in grid for part in _one_by_one(same)]
    made = family.fit(parts, context)
    for same in grid:
        outputs = [[next(made) for _ in same] for _ in range(same[0].outputs)]
        for columns in zip(*outputs, strict=True):
            yield FittedApart(columns)


def _at_once(family: Family, fit: Fit) -> bool:
    return fit.task != "regression" or family.all_values_at_once


def _on_same_rows(fits: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Neighbors that differ in their settings alone."""
    same: list[Fit] = []
    for fit in fits:
        if same and (fit.x is not same[0].x or fit.setting in [other.setting for other in same]):
            yield same
            same = []
        same.append(fit)
    yield same


def _one_by_one(same: Sequence[Fit]) -> Iterator[Fit]:
    """Output by output, and of each the settings, so that what they have in common is done once."""
    first = same[0]
    for at in range(first.outputs):
        y = first.y if first.quantiles else first.y[:, at].astype(np.float64)
        quantiles = first.quantiles[at : at + 1]
        for fit in same:
            yield replace(
                fit, y=y, outputs=1, quantiles=quantiles, facts={**fit.facts, "output": at}
            )
