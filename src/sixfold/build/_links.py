"""From scores to outputs: identity, sigmoid and softmax, in NumPy and as nodes of the graph.

Shape letters: R rows, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import expit, softmax

from sixfold.parts.graph import Graph
from sixfold.parts.table import FloatArray

Link = Literal["identity", "sigmoid", "softmax"]


def apply(link: Link, scores: FloatArray) -> FloatArray:
    """[R, columns] → [R, outputs]. `sigmoid` takes one column, the log-odds of class 1, and gives
    [1 - p, p].
    """
    if link == "identity":
        return scores
    if link == "softmax":
        return np.asarray(softmax(scores, axis=1), dtype=np.float64)
    p_R1 = expit(scores)
    return np.concatenate([1.0 - p_R1, p_R1], axis=1)


def export(link: Link, graph: Graph, scores: str) -> str:
    """The same as nodes; `scores` is a double value [R, columns]."""
    if link == "identity":
        return scores
    if link == "softmax":
        return graph.op("Softmax", scores, axis=1)
    return both_classes(graph, graph.op("Sigmoid", scores))


def both_classes(graph: Graph, p: str) -> str:
    """The probability of class 1, [R, 1], as [1 - p, p]."""
    return graph.concat([graph.op("Sub", graph.constant(1.0, np.float64), p), p])
