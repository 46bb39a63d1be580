"""A missing number becomes the mean of its column over the nearest training rows that have it (Troyanskaya, 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.prepare.step import Block, Feature, Takes, Training, same
from sixfold.recipe.section import Section

GRID = 1e9  # squared distances count in steps of 1 / GRID: rounding errors do not decide which row is nearer
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Nearest(State):
    """`donors`: float64 [d, m], standardised, NaN where missing; `shift`, `scale`, `fallback` (the mean): [m].

    The squared distance of two rows is the mean over the columns that both have (nan-euclidean / m), on a grid; equal
    distances: the donor that comes first. A row that shares no column with any donor gets the mean.
    """

    donors: FloatArray
    shift: FloatArray
    scale: FloatArray
    neighbours: int

    def transform(self, x: FloatArray) -> FloatArray:
        """[rows, m] → [rows, m] without NaN."""
        result = x.copy()
        rows = np.flatnonzero(np.isnan(x).any(axis=1))
        for start in range(0, len(rows), BLOCK_ROWS):
            some = rows[start : start + BLOCK_ROWS]
            result[some] = self._filled(x[some])
        return result

    def _filled(self, x: FloatArray) -> FloatArray:
        z = (x - self.shift) / self.scale
        distance = self._distances(z)
        result = x.copy()
        for column in np.flatnonzero(np.isnan(x).any(axis=0)):
            has, count = self._having(column)
            nearest = np.argsort(distance[:, has], axis=1, kind="stable")[:, :count]
            usable = np.isfinite(np.take_along_axis(distance[:, has], nearest, axis=1))
            values = self.donors[has, column][nearest]
            mean = np.where(usable, values, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
            missing = np.isnan(x[:, column])
            result[missing, column] = (mean * self.scale[column] + self.shift[column])[missing]
        return result

    def _distances(self, z: FloatArray) -> FloatArray:
        has, donor_has = (~np.isnan(z)).astype(np.float64), (~np.isnan(self.donors)).astype(np.float64)
        z0, donors0 = np.nan_to_num(z), np.nan_to_num(self.donors)
        squares = z0**2 @ donor_has.T - 2.0 * (z0 @ donors0.T) + has @ (donors0**2).T
        shared = has @ donor_has.T
        return np.where(shared > 0, np.round(squares / np.maximum(shared, 1.0) * GRID), np.inf)

    def _having(self, column: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], int]:
        has = np.flatnonzero(~np.isnan(self.donors[:, column]))
        return has, min(self.neighbours, len(has))

    def export(self, graph: Graph, x: str) -> str:
        """The distances as three matrix products, then TopK a column (equal distances: the lowest index)."""
        z = graph.op("Div", graph.op("Sub", x, graph.constant(self.shift)), graph.constant(self.scale))
        missing = graph.op("IsNaN", x)
        distance = self._export_distances(graph, z, missing)
        filled = []
        for column in range(self.donors.shape[1]):
            has, count = self._having(column)
            those = graph.take_columns(distance, has)
            near, index = graph.ops(
                "TopK", those, graph.constant([count], np.int64), outputs=2, axis=1, largest=0, sorted=1
            )
            usable = graph.cast(graph.op("Not", graph.op("IsInf", near)), TensorProto.DOUBLE)
            values = graph.op("Gather", graph.constant(self.donors[has, column]), index)
            axes = graph.constant([1], np.int64)
            total = graph.op("ReduceSum", graph.op("Mul", values, usable), axes, keepdims=1)
            number = graph.op("Max", graph.op("ReduceSum", usable, axes, keepdims=1), graph.constant(1.0, np.float64))
            mean = graph.op("Div", total, number)
            scaled = graph.op("Mul", mean, graph.constant(self.scale[column]))
            filled.append(graph.op("Add", scaled, graph.constant(self.shift[column])))
        return graph.op("Where", missing, graph.concat(filled), x)

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
        return graph.op("Where", graph.op("Greater", shared, zero), steps, graph.constant(np.inf, np.float64))

    def features(self, names: Sequence[str]) -> tuple[Feature, ...]:
        """One for one."""
        return same(names)


class Settings(Section):
    """A missing number becomes the mean of its column over the nearest training rows that have it.

    Columns are standardised for the distance. The donors travel in the bundle: their number bounds its size.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"number"})
    joint: ClassVar[bool] = True

    neighbours: int = Field(5, ge=1, description="Training rows that are averaged.")
    donors: int = Field(1000, ge=1, description="Training rows that are kept to choose from, drawn at random.")

    def fit(self, x: Block, training: Training) -> Nearest:
        """Keep donors. They impute the training rows too: a row that is its own donor lacks the value, so it is not used."""
        shift = np.nanmean(x, axis=0)
        spread = np.nanstd(x, axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        rows = np.sort(np.random.default_rng(training.seed).permutation(len(x))[: self.donors])
        for column in np.flatnonzero(np.isnan(x[rows]).all(axis=0)):  # a rare value: one row that has it joins
            rows = np.append(rows, np.flatnonzero(~np.isnan(x[:, column]))[0])
        return Nearest((x[rows] - shift) / scale, shift, scale, self.neighbours)
