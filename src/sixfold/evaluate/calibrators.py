"""From scores to probabilities that are right on average: Platt's sigmoid, isotonic regression, one
class against the rest.

Shape letters: R rows, K classes, C columns that are calibrated (1 for two classes, else K), T
points of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from sixfold.evaluate.quantiles import OrderedQuantiles
from sixfold.parts.fit import OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import BoolArray, FloatArray, IntArray
from sixfold.parts.weights import mean, std, taken

# Added to both sides of a log-odds, which keeps the order: a tree's 0 and 1 mean "none of some
# rows", not infinity. Measured on trees of 6,000 rows of Adult, log loss with platt: 0.367, with
# 10⁻¹² 0.450, not calibrated 0.601.
EXTRA = 1e-3
# Probability per unit of log-odds: those of a float32 network are right to some 1e-6, and parity
# asks for 1e-5. Decision values are computed in double precision: per standard deviation of theirs.
STEEPEST: dict[OutputKind, float] = {"probability": 5.0, "decision": 1e6}
STEPS = 100  # of Newton's method; about 10 are used


@dataclass(frozen=True)
class Platt(State):
    """p = 1 / (1 + exp(a f + b)), f a decision value or a log-odds (Platt, 1999). `slope` a,
    `intercept` b: float64 [C].
    """

    slope: FloatArray
    intercept: FloatArray
    source: OutputKind

    def apply(self, scores: FloatArray) -> FloatArray:
        """[R, K] decision values or probabilities → [R, K] probabilities."""
        return _normalized(expit(-(evidence(scores, self.source) * self.slope + self.intercept)))

    def export(self, graph: Graph, scores: str) -> str:
        """The same as nodes, in double precision; `scores` is [R, K]."""
        f = _export_evidence(graph, scores, self.source, len(self.slope))
        product = graph.op("Mul", f, graph.constant(self.slope, np.float64))
        u = graph.op("Add", product, graph.constant(self.intercept, np.float64))
        return _export_normalized(graph, graph.op("Sigmoid", graph.op("Neg", u)), len(self.slope))


@dataclass(frozen=True)
class Isotonic(State):
    """A rising curve through (x, y), straight between its points, level outside of them (Zadrozny
    and Elkan, 2002).

    `x`, `y`: one pair of float64 [T] a column; x rises strictly.
    """

    x: tuple[FloatArray, ...]
    y: tuple[FloatArray, ...]
    source: OutputKind

    def apply(self, scores: FloatArray) -> FloatArray:
        """[R, K] decision values or probabilities → [R, K] probabilities.

        Written as the nodes compute it: on level parts both give the same bits, and so the same
        labels where classes tie.
        """
        f_RC = evidence(scores, self.source)
        return _normalized(
            np.stack([self._curve(f_RC[:, c], c) for c in range(len(self.x))], axis=1)
        )

    def export(self, graph: Graph, scores: str) -> str:
        """Of each column: how many points are not above f says which piece of the curve holds;
        `scores` is [R, K].
        """
        f = _export_evidence(graph, scores, self.source, len(self.x))
        columns = [
            self._export_curve(graph, graph.take_columns(f, [c]), c) for c in range(len(self.x))
        ]
        return _export_normalized(graph, graph.concat(columns), len(self.x))

    def _pieces(self, column: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Start, value and slope of the T + 1 pieces: level, between the points, level."""
        x, y = self.x[column], self.y[column]
        slope = np.concatenate([[0.0], np.diff(y) / np.diff(x), [0.0]])
        return np.concatenate([x[:1], x]), np.concatenate([y[:1], y]), slope

    def _curve(self, f: FloatArray, column: int) -> FloatArray:
        x = self.x[column]
        f = np.clip(f, x[0], x[-1])
        start, value, slope = self._pieces(column)
        piece = np.searchsorted(x, f, side="right")
        return np.clip(value[piece] + slope[piece] * (f - start[piece]), 0.0, 1.0)

    def _export_curve(self, graph: Graph, f: str, column: int) -> str:
        x = self.x[column]
        f = graph.op(
            "Max",
            graph.op("Min", f, graph.constant(x[-1], np.float64)),
            graph.constant(x[0], np.float64),
        )
        start, value, slope = (graph.constant(part, np.float64) for part in self._pieces(column))
        passed = graph.cast(
            graph.op("GreaterOrEqual", f, graph.constant(x, np.float64)), TensorProto.INT64
        )
        piece = graph.op("ReduceSum", passed, graph.constant([1], np.int64), keepdims=1)
        above = graph.op("Sub", f, graph.op("Gather", start, piece))
        rise = graph.op("Mul", graph.op("Gather", slope, piece), above)
        p = graph.op("Add", graph.op("Gather", value, piece), rise)
        return graph.op(
            "Max",
            graph.op("Min", p, graph.constant(1.0, np.float64)),
            graph.constant(0.0, np.float64),
        )


Calibrator: TypeAlias = Platt | Isotonic | OrderedQuantiles


class Truth(NamedTuple):
    """Of rows: `y`, [R] classes; `seen`, [R, K], whether the row's model knew the class: its score says
    nothing of a class that it did not; `weights`, [R], how often each counts, None: once.
    """

    y: IntArray
    seen: BoolArray
    weights: FloatArray | None = None


def fit(method: str, scores: FloatArray, truth: Truth, source: OutputKind) -> Platt | Isotonic:
    """Fit `platt` or `isotonic` on rows that the scores' model did not see.

    `scores`: [R, K]; `source`: what the scores are, decision or probability. Rows whose weight is 0 do
    not count.
    """
    if truth.weights is not None:
        some = np.flatnonzero(truth.weights)
        scores, truth = scores[some], Truth(truth.y[some], truth.seen[some], truth.weights[some])
    f_RC = evidence(scores, source)
    columns = [1] if f_RC.shape[1] == 1 else list(range(f_RC.shape[1]))
    rows = [
        (f_RC[own, c], truth.y[own] == k, taken(truth.weights, np.flatnonzero(own)))
        for c, k in enumerate(columns)
        for own in (truth.seen[:, k],)
    ]
    if method == "platt":
        pairs = np.array([sigmoid(*own) for own in rows])
        return Platt(pairs[:, 0].copy(), pairs[:, 1].copy(), source)
    unit = 1.0 if source == "probability" else _spread(f_RC, truth.weights) or 1.0
    curves = [rising(*own, STEEPEST[source] / unit) for own in rows]
    return Isotonic(tuple(x for x, _ in curves), tuple(y for _, y in curves), source)


def _spread(f_RC: FloatArray, weights: FloatArray | None) -> float:
    """Of all scores together."""
    if weights is None:
        return float(np.std(f_RC))
    return float(std(f_RC.reshape(-1), np.repeat(weights, f_RC.shape[1])))


def evidence(scores: FloatArray, source: OutputKind) -> FloatArray:
    """[R, K] → [R, C]: decision values as they are; of probabilities the log-odds against all other
    classes together, log (p + ε) / (1 - p + ε).
    """
    two = scores.shape[1] == 2
    if source == "decision":
        return scores[:, 1:] if two else scores
    logs = np.log(scores + EXTRA)
    if two:
        return np.asarray(logs[:, 1:] - logs[:, :1])
    return np.asarray(logs - np.log(scores @ _others(scores.shape[1]) + EXTRA))


def sigmoid(
    f: FloatArray, positive: BoolArray, weights: FloatArray | None = None
) -> tuple[float, float]:
    """a and b of 1 / (1 + exp(a f + b)) that minimize the cross-entropy with Platt's targets.

    The targets are (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2): one more row of either class, against
    overfitting. Newton's method with halved steps (Lin, Lin and Weng, 2007), on f standardized.
    """
    each = np.ones(len(f)) if weights is None else weights
    count, positives = float(each.sum()), float(each[positive].sum())
    t = np.where(positive, (positives + 1.0) / (positives + 2.0), 1.0 / (count - positives + 2.0))
    center, scale = (
        (float(mean(f, weights)), float(std(f, weights)) or 1.0) if count else (0.0, 1.0)
    )
    design = np.stack([(f - center) / scale, np.ones(len(f))], axis=1)
    theta = np.array([0.0, np.log((count - positives + 1.0) / (positives + 1.0))])

    def loss(theta: FloatArray) -> float:
        u = design @ theta
        return float(np.sum(each * (np.logaddexp(0.0, u) - (1.0 - t) * u)))

    best = loss(theta)
    for _ in range(STEPS):
        p = expit(-(design @ theta))
        gradient = design.T @ (each * (t - p))
        hessian = (design * (each * (p * (1.0 - p)))[:, None]).T @ design + 1e-12 * np.eye(2)
        if np.abs(gradient).max() <= 1e-9 * max(1, count):
            break
        step, share = np.linalg.solve(hessian, gradient), 1.0
        while share > 1e-10 and loss(theta - share * step) >= best:
            share /= 2.0
        if share <= 1e-10:
            break
        theta = theta - share * step
        best = loss(theta)
    slope = float(theta[0] / scale)
    return slope, float(theta[1]) - slope * center


def rising(
    f: FloatArray,
    positive: BoolArray,
    weights: FloatArray | None = None,
    steepest: float = np.inf,
) -> tuple[FloatArray, FloatArray]:
    """Points x, y of the rising curve nearest to the rows in least squares: pool adjacent
    violators, by scikit-learn.

    Where the curve would rise faster than `steepest`, x is pulled apart around the rise, by the
    mean of pushing every point to the right of its neighbors and to the left of them.
    """
    if len(f) == 0:
        return np.zeros(1), np.zeros(1)
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
        f, positive.astype(np.float64), sample_weight=weights
    )
    x = np.asarray(regression.X_thresholds_, dtype=np.float64)
    y = np.asarray(regression.y_thresholds_, dtype=np.float64)
    below = y / steepest  # x - below may not fall
    right = np.maximum.accumulate(x - below) + below
    left = np.minimum.accumulate((x - below)[::-1])[::-1] + below
    x = (right + left) / 2.0
    kept = np.concatenate([[True], np.diff(x) > 0])
    return x[kept], y[kept]


def _others(classes: int) -> FloatArray:
    return 1.0 - np.eye(classes)


def _normalized(p: FloatArray) -> FloatArray:
    """[R, C] → [R, K] that sum to 1: [1 - p, p] for two classes; equal shares where every class got
    0.
    """
    if p.shape[1] == 1:
        return np.concatenate([1.0 - p, p], axis=1)
    total = p.sum(axis=1, keepdims=True)
    return np.where(total > 0, p / np.where(total > 0, total, 1.0), 1.0 / p.shape[1])


def _export_evidence(graph: Graph, scores: str, source: OutputKind, columns: int) -> str:
    if source == "decision":
        return graph.take_columns(scores, [1]) if columns == 1 else scores
    extra = graph.constant(EXTRA, np.float64)
    logs = graph.op("Log", graph.op("Add", scores, extra))
    if columns == 1:
        return graph.op("Sub", graph.take_columns(logs, [1]), graph.take_columns(logs, [0]))
    rest = graph.op("MatMul", scores, graph.constant(_others(columns), np.float64))
    return graph.op("Sub", logs, graph.op("Log", graph.op("Add", rest, extra)))


def _export_normalized(graph: Graph, p: str, columns: int) -> str:
    one = graph.constant(1.0, np.float64)
    if columns == 1:
        return graph.concat([graph.op("Sub", one, p), p])
    total = graph.op("ReduceSum", p, graph.constant([1], np.int64), keepdims=1)
    some = graph.op("Greater", total, graph.constant(0.0, np.float64))
    shares = graph.op("Div", p, graph.op("Where", some, total, one))
    return graph.op("Where", some, shares, graph.constant(1.0 / columns, np.float64))
