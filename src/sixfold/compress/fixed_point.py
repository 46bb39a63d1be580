"""Fixed point: every parameter θ becomes ⌊θ·Q⌋ / Q, and is stored as the integer ⌊θ·Q⌋."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sixfold.compress.amount import Found
from sixfold.compress.quantize import Quantized
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.model import Model
from sixfold.parts.fit import Matrix, OutputKind, Parametric
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.recipe.compression import FixedPoint


@dataclass(frozen=True)
class Fixed(State):
    """`inner`: a model whose parameters are multiples of 1/factor; the graph stores them as
    integers.
    """

    inner: Any
    factor: int

    @property
    def output(self) -> OutputKind:
        """As the model inside."""
        kind: OutputKind = self.inner.output
        return kind

    def predict(self, x: Matrix) -> FloatArray:
        """As the model inside."""
        return np.asarray(self.inner.predict(x))

    def export(self, graph: Graph, x: str) -> str:
        """The model's nodes; what is a multiple of 1/factor is stored in the smallest integer type
        that holds it.
        """
        with graph.fixed_point(self.factor):
            return str(self.inner.export(graph, x))


def rounded(values: FloatArray, factor: int, rounding: str) -> FloatArray:
    """⌊θ·Q⌋ / Q (floor, also for negatives), or the nearest multiple of 1/Q."""
    scaled = values * factor
    return np.asarray((np.floor(scaled) if rounding == "floor" else np.rint(scaled)) / factor)


def apply(subject: CompressionState, job: Job, section: FixedPoint) -> Found:
    """Round the parameters of the model and of its twins; or None and why it cannot be done."""
    if isinstance(subject.model.fitted, Quantized):
        return None, f"the weights of {job.candidate.name} are integers already (int8)"
    if not isinstance(subject.model.fitted, Parametric):
        return None, f"{job.candidate.name} has no real parameters θ that can be rounded here"

    def change(model: Model, position: int) -> Model:
        fitted = model.fitted
        if not isinstance(fitted, Parametric):
            return model
        parameters = {
            n: rounded(v, section.factor, section.rounding) for n, v in fitted.parameters().items()
        }
        return replace(model, fitted=Fixed(fitted.with_parameters(parameters), section.factor))

    return subject.changed(job, change), f"θ in steps of 1/{section.factor} ({section.rounding})"
