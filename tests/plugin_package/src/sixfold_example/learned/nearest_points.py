"""What the family centroids learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from sixfold.parts.fit import Fit, Matrix, OutputKind
from sixfold.parts.graph import Graph
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray


@dataclass(frozen=True)
class NearestPoints(State):
    """`points`: float64 [classes, points, features]."""

    points: FloatArray
    sharpness: float
    output: OutputKind = "probability"

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, features] → [rows, classes], rows sum to 1."""
        apart = ((x[:, None, None, :] - self.points[None]) ** 2).sum(axis=3).min(axis=2)
        weights = np.exp(-self.sharpness * (apart - apart.min(axis=1, keepdims=True)))
        chances: FloatArray = weights / weights.sum(axis=1, keepdims=True)
        return chances

    def export(self, graph: Graph, x: str) -> str:
        """Unsqueeze, Sub, Mul, ReduceSum, ReduceMin, Softmax."""
        difference = graph.op(
            "Sub",
            graph.op("Unsqueeze", x, graph.constant([1, 2])),
            graph.constant(self.points[None]),
        )
        each = graph.op(
            "ReduceSum", graph.op("Mul", difference, difference), graph.constant([3]), keepdims=0
        )
        apart = graph.op("ReduceMin", each, graph.constant([2]), keepdims=0)
        return graph.op(
            "Softmax", graph.op("Mul", apart, graph.constant([-self.sharpness])), axis=1
        )


def learn(fit: Fit, points: int, sharpness: float) -> NearestPoints:
    """Of dense rows. A class with fewer rows than `points` has some of its points twice."""
    x = np.asarray(fit.x, dtype=np.float64)
    found = []
    for label in range(fit.outputs):
        own = x[fit.y == label]
        count = max(1, min(points, len(own)))
        centers = (
            KMeans(count, n_init=1, random_state=fit.seed).fit(own).cluster_centers_
            if len(own)
            else x.mean(0)[None]
        )
        found.append(centers[np.arange(points) % count])
    return NearestPoints(np.stack(found), sharpness)
