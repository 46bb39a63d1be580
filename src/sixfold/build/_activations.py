"""What stands between two layers of a network: for torch, in NumPy, and as nodes of the graph, in both precisions.

Only what onnxruntime computes in float32 and float64 (its Erf has no float64: gelu is the form with tanh).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from sixfold.parts.graph import Graph

Activation = Literal["relu", "tanh", "sigmoid", "gelu", "silu"]
Array = npt.NDArray[Any]
ROOT = math.sqrt(2.0 / math.pi)
CUBIC = 0.044715  # Hendrycks and Gimpel, Gaussian error linear units, 2016


def apply(activation: Activation, x: Array) -> Array:
    """The activation of an array, in its own precision."""
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "tanh":
        return np.tanh(x)
    if activation == "gelu":
        return x * (0.5 * (1.0 + np.tanh(ROOT * (x + CUBIC * x * x * x))))
    gate: Array = expit(x)
    return gate if activation == "sigmoid" else x * gate


def export(activation: Activation, graph: Graph, x: str, dtype: npt.DTypeLike) -> str:
    """The same as nodes; `x` is a value of type `dtype`."""
    if activation in ("relu", "tanh", "sigmoid"):
        return graph.op(activation.capitalize(), x)
    if activation == "silu":
        return graph.op("Mul", x, graph.op("Sigmoid", x))
    cube = graph.op("Mul", graph.op("Mul", x, x), x)
    inner = graph.op("Add", x, graph.op("Mul", graph.constant(CUBIC, dtype), cube))
    bent = graph.op("Tanh", graph.op("Mul", graph.constant(ROOT, dtype), inner))
    gate = graph.op("Mul", graph.constant(0.5, dtype), graph.op("Add", graph.constant(1.0, dtype), bent))
    return graph.op("Mul", x, gate)
