"""Several models as one: their preparers side by side, and the weighted mean of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sixfold.evaluate.calibrators import Calibrator
from sixfold.parts.fit import Fitted, IncrementalPredictor, Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray, Table
from sixfold.prepare.preparer import Preparer


@dataclass(frozen=True)
class Joined(State):
    """Several preparers as one: raw columns → the features of all of them, side by side, float64 (a
    float32 stays what it is).
    """

    preparers: tuple[Preparer, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that any of them asks for."""
        return tuple(dict.fromkeys(name for each in self.preparers for name in each.inputs))

    @property
    def categories(self) -> frozenset[str]:
        """The raw columns that enter the graph as texts."""
        return frozenset(name for each in self.preparers for name in each.categories)

    @property
    def texts(self) -> frozenset[str]:
        """The raw columns whose features the front end makes."""
        return frozenset(name for each in self.preparers for name in each.texts)

    @property
    def rows_at_once(self) -> int:
        """Rows whose features are held at once."""
        return min(each.rows_at_once for each in self.preparers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, in sentences."""
        return tuple(dict.fromkeys(text for each in self.preparers for text in each.notes))

    def transform(self, table: Table) -> Matrix:
        """[rows, features of all] float64."""
        return np.concatenate(
            [each.transform(table).astype(np.float64, copy=False) for each in self.preparers],
            axis=1,
        )

    def batches(self, table: Table) -> Iterator[tuple[slice, Matrix]]:
        """The same in parts: which rows, and their features."""
        for parts in zip(
            *(each.batches(table, self.rows_at_once) for each in self.preparers), strict=True
        ):
            yield (
                parts[0][0],
                np.concatenate([x.astype(np.float64, copy=False) for _, x in parts], axis=1),
            )

    def export(self, graph: Graph, inputs: RawInputs) -> str:
        """The raw columns → [rows, features of all], double."""
        values = [
            graph.cast(each.export(graph, inputs), TensorProto.DOUBLE) for each in self.preparers
        ]
        return graph.concat(values, [len(each.feature_names) for each in self.preparers])


@dataclass(frozen=True)
class Member(State):
    """One member: columns `start` to `stop` of the joined features in `precision`, the fitted
    family, its calibrator.
    """

    fitted: Fitted
    calibrator: Calibrator | None
    start: int
    stop: int
    precision: Literal["float32", "float64"]

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features of all] → [rows, outputs]."""
        return self._calibrated(self.fitted.predict(self._own(x)))

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`predict` of rows of which most features are those of `x`."""
        scores = (
            self.fitted.near(self._own(x))
            if isinstance(self.fitted, IncrementalPredictor)
            else self.fitted.predict
        )
        return lambda other: self._calibrated(scores(self._own(other)))

    def _own(self, x: Matrix) -> Matrix:
        return np.ascontiguousarray(x[:, self.start : self.stop], dtype=self.precision)

    def _calibrated(self, scores: FloatArray) -> FloatArray:
        return scores if self.calibrator is None else self.calibrator.apply(scores)

    def export(self, graph: Graph, x: str) -> str:
        """The same as nodes; a double value."""
        own = graph.span(x, self.start, self.stop)
        own = own if self.precision == "float64" else graph.cast(own, TensorProto.FLOAT)
        scores = graph.cast(self.fitted.export(graph, own), TensorProto.DOUBLE)
        return scores if self.calibrator is None else self.calibrator.export(graph, scores)


@dataclass(frozen=True)
class Averaged(State):
    """Σ w p over the members. `weights`: float64 [members], sum 1."""

    parts: tuple[Member, ...]
    weights: FloatArray
    output: OutputKind

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features of all] → [rows, outputs] float64: probabilities, or values."""
        return self._mean([part.predict(x) for part in self.parts])

    def near(self, x: Matrix) -> Callable[[Matrix], FloatArray]:
        """`predict` of rows of which most features are those of `x`."""
        answers = [part.near(x) for part in self.parts]
        return lambda other: self._mean([answer(other) for answer in answers])

    def _mean(self, answers: list[FloatArray]) -> FloatArray:
        total = self.weights[0] * answers[0]
        for weight, answer in zip(self.weights[1:], answers[1:], strict=True):
            total = total + weight * answer
        return np.asarray(total, dtype=np.float64)

    def export(self, graph: Graph, x: str) -> str:
        """Every member's nodes, then the weighted sum, in double precision and in the same
        order.
        """
        weighted = [
            graph.op("Mul", part.export(graph, x), graph.constant(weight, np.float64))
            for weight, part in zip(self.weights, self.parts, strict=True)
        ]
        total = weighted[0]
        for value in weighted[1:]:
            total = graph.op("Add", total, value)
        return total
