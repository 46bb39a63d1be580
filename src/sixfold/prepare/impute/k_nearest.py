"""A missing number becomes the mean of its column over the nearest training rows that have it
(Troyanskaya, 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, IntArray
from sixfold.prepare.impute._sample import sample
from sixfold.prepare.step import Block, FittedFeatures, Takes, Training, same
from sixfold.recipe.section import Section

GRID = 1e9  # squared distances count in steps of 1 / GRID: rounding errors do not decide which row is nearer
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Nearest(State):
    """`donors`: float64 [d, m], standardized, NaN where missing; `shift` (the mean), `scale`: [m];
    `columns`: int64 [c].

    The squared distance of two rows is the mean over the columns that both have, on a grid; equal
    distances: the donor that comes first. `columns` had gaps in training and are filled; other
    columns, and a row that shares no column with any donor, get the mean.
    """

    donors: FloatArray
    shift: FloatArray
    scale: FloatArray
    columns: IntArray
    neighbors: int

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m] without NaN."""
        missing = np.isnan(x)
        result = np.where(missing, self.shift, x)
        rows = np.flatnonzero(missing[:, self.columns].any(axis=1))
        for start in range(0, len(rows), BLOCK_ROWS):
            some = rows[start : start + BLOCK_ROWS]
            distance = self._distances((x[some] - self.shift) / self.scale)
            for column in self.columns.tolist():
                gaps = missing[some, column]
                result[some[gaps], column] = self._means(distance[gaps], column)
        return result

    def _means(self, distance: FloatArray, column: int) -> FloatArray:
        """Distances [n, d] → the column's mean over the nearest donors that have it, [n]."""
        has, count = self._having(column)
        nearest = np.argsort(distance[:, has], axis=1, kind="stable")[:, :count]
        usable = np.isfinite(np.take_along_axis(distance[:, has], nearest, axis=1))
        values = self.donors[has, column][nearest]
        mean = np.where(usable, values, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
        return np.asarray(mean * self.scale[column] + self.shift[column])

    def _distances(self, z: FloatArray) -> FloatArray:
        has, donor_has = (
            (~np.isnan(z)).astype(np.float64),
            (~np.isnan(self.donors)).astype(np.float64),
        )
        z0, donors0 = np.nan_to_num(z), np.nan_to_num(self.donors)
        squares = z0**2 @ donor_has.T - 2.0 * (z0 @ donors0.T) + has @ (donors0**2).T
        shared = has @ donor_has.T
        return np.where(shared > 0, np.round(squares / np.maximum(shared, 1.0) * GRID), np.inf)

    def _having(self, column: int) -> tuple[IntArray, int]:
        has = np.flatnonzero(~np.isnan(self.donors[:, column])).astype(np.int64)
        return has, min(self.neighbors, len(has))

    def export(self, graph: Graph, x: str) -> str:
        """The distances as four matrix products, then TopK a column (equal distances: the lowest
        index).
        """
        missing = graph.op("IsNaN", x)
        plain = graph.constant(self.shift)
        if not len(self.columns):
            return graph.op("Where", missing, plain, x)
        z = graph.op("Div", graph.op("Sub", x, plain), graph.constant(self.scale))
        distance = self._export_distances(graph, z, missing)
        means = graph.concat(
            [self._export_means(graph, distance, column) for column in self.columns.tolist()]
        )
        place = np.full(
            len(self.shift), len(self.columns)
        )  # columns without a mean of neighbors take a 0 and get `plain`
        place[self.columns] = np.arange(len(self.columns))
        padded = graph.op("Pad", means, graph.constant([0, 0, 0, 1], np.int64))
        known = graph.constant(np.isin(np.arange(len(self.shift)), self.columns))
        filled = graph.op("Where", known, graph.take_columns(padded, place), plain)
        return graph.op("Where", missing, filled, x)

    def _export_means(self, graph: Graph, distance: str, column: int) -> str:
        """[rows, d] → [rows, 1]."""
        has, count = self._having(column)
        those = distance if len(has) == len(self.donors) else graph.take_columns(distance, has)
        count_1 = graph.constant([count], np.int64)
        near, index = graph.ops("TopK", those, count_1, outputs=2, axis=1, largest=0, sorted=1)
        usable = graph.cast(graph.op("Not", graph.op("IsInf", near)), TensorProto.DOUBLE)
        values = graph.op("Gather", graph.constant(self.donors[has, column]), index)
        axes = graph.constant([1], np.int64)
        total = graph.op("ReduceSum", graph.op("Mul", values, usable), axes, keepdims=1)
        number = graph.op(
            "Max", graph.op("ReduceSum", usable, axes, keepdims=1), graph.constant(1.0, np.float64)
        )
        scaled = graph.op("Mul", graph.op("Div", total, number), graph.constant(self.scale[column]))
        return graph.op("Add", scaled, graph.constant(self.shift[column]))

    def _export_distances(self, graph: Graph, z: str, missing: str) -> str:
        donor_has = (~np.isnan(self.donors)).astype(np.float64)
        donors0 = np.nan_to_num(self.donors)
        zero, two = graph.constant(0.0, np.float64), graph.constant(2.0, np.float64)
        has = graph.cast(graph.op("Not", missing), TensorProto.DOUBLE)
        z0 = graph.op("Where", missing, zero, z)
        own = graph.op("MatMul", graph.op("Mul", z0, z0), graph.constant(donor_has.T))
        cross = graph.op("Mul", graph.op("MatMul", z0, graph.constant(donors0.T)), two)
        theirs = graph.op("MatMul", has, graph.constant((donors0**2).T))
        squares = graph.op("Add", graph.op("Sub", own, cross), theirs)
        shared = graph.op("MatMul", has, graph.constant(donor_has.T))
        mean = graph.op("Div", squares, graph.op("Max", shared, graph.constant(1.0, np.float64)))
        steps = graph.op("Round", graph.op("Mul", mean, graph.constant(GRID, np.float64)))
        return graph.op(
            "Where", graph.op("Greater", shared, zero), steps, graph.constant(np.inf, np.float64)
        )

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """One for one."""
        return same(names)


class Settings(Section):
    """A missing number becomes the mean of its column over the nearest training rows that have it.

    Columns are standardized for the distance. The donors travel in the bundle: their number bounds
    its size. A column without gaps in the training rows gets its mean.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = True

    neighbors: int = Field(5, ge=1, description="Training rows that are averaged.")
    donors: int = Field(
        1000, ge=1, description="Training rows that are kept to choose from, drawn at random."
    )

    def fit(self, x: Block, training: Training) -> Nearest:
        """Keep donors. They fill the training rows too: a row that lacks the value is no donor of
        it to itself.
        """
        shift, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        rows = sample(x, self.donors, training.seed)
        gaps = np.flatnonzero(np.isnan(x).any(axis=0)).astype(np.int64)
        return Nearest((x[rows] - shift) / scale, shift, scale, gaps, self.neighbors)
