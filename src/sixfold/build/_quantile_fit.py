"""Linear quantile regression with a penalty on the squares of the weights: Σ c·pinball(y − x·w − b) + α‖w‖².

A primal-dual interior-point method with Mehrotra's predictor and corrector, as Portnoy and Koenker, The
Gaussian hare and the Laplacian tortoise, 1997, have it for the linear program; the penalty is a diagonal of
its equations. A step solves a system as large as the features or the rows, whichever are fewer. Without a penalty,
or with that of absolute values, it is a linear program, which HiGHS solves (scikit-learn).

With residuals split as u − v, u, v ≥ 0, and one multiplier a for each row, the solution has 2αw = Xᵀa,
Σa = 0, s = cq − a ≥ 0 with su = 0, and t = c(1 − q) + a ≥ 0 with tv = 0.

Shape letters: R rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array, diags_array, issparse

from sixfold.parts.fit import Fit
from sixfold.parts.table import FloatArray

MOST: Final = 8192  # rows or features, whichever are fewer: the system is of their squares
TOLERANCE: Final = 1e-13  # of the duality gap, and of the equations, against the loss
ENOUGH: Final = 1e-8  # of the same, where rounding lets it come no nearer
PATIENCE: Final = 4  # steps that bring it no nearer
NEARLY: Final = 0.9995  # of the way to the bounds
TINY: Final = 1e-12  # of the diagonal, where columns depend on each other
LEAST: Final = 1e-15  # of the bounds, what is left of them where rounding takes all


class QuantileLine(NamedTuple):
    """`weights` [F], and `bias`; `converged`: within the tolerance."""

    weights: FloatArray
    bias: float
    converged: bool


class Sides(NamedTuple):
    """Of the residuals above the line and below it, each [R]."""

    above: FloatArray
    below: FloatArray


class InteriorPoint(NamedTuple):
    """Where the method stands, or a step: `w` [F], `b`; `a`, `u`, `v` [R]."""

    w: FloatArray
    b: float
    a: FloatArray
    u: FloatArray
    v: FloatArray

    def moved(self, step: InteriorPoint, reach: float) -> InteriorPoint:
        """After the part `reach` of a step; u and v stay above 0."""
        tiny = np.finfo(np.float64).tiny
        return InteriorPoint(
            self.w + reach * step.w,
            self.b + reach * step.b,
            self.a + reach * step.a,
            np.maximum(self.u + reach * step.u, tiny),
            np.maximum(self.v + reach * step.v, tiny),
        )


@dataclass(frozen=True)
class PenalizedQuantile:
    """The problem in units in which values vary by about 1. `x`: [R, F], dense or sparse; `counts` c [R];
    `penalty`: 2α, above 0; `steps`: at most.
    """

    x: FloatArray | csr_array
    y: FloatArray
    counts: FloatArray
    quantile: float
    penalty: float
    steps: int

    def solve(self) -> QuantileLine:
        """From zero weights on."""
        scale = float(np.abs(self.y).mean()) + 1.0
        at = self._start(scale)
        upper, lower = self.counts * self.quantile, self.counts * (1.0 - self.quantile)
        size = float(self.counts.sum()) * scale
        best, apart, idle = at, np.inf, 0
        for _ in range(self.steps):
            s = np.maximum(upper - at.a, LEAST * upper)
            t = np.maximum(lower + at.a, LEAST * lower)
            gap = float(s @ at.u + t @ at.v)
            now = max(gap, self._off(at)) / size
            idle = 0 if now < apart else idle + 1
            if now < apart:
                best, apart = at, now
            if apart <= TOLERANCE or (idle == PATIENCE and apart <= ENOUGH):
                break
            try:
                system = self._system(at.u / s + at.v / t)
            except LinAlgError:  # rounding: no further step can be made
                break
            affine = self._step(at, Sides(s, t), system, Sides(-s * at.u, -t * at.v))
            reach = _reach(at, affine, Sides(s, t))
            moved_u, moved_v = at.u + reach * affine.u, at.v + reach * affine.v
            after = float((s - reach * affine.a) @ moved_u + (t + reach * affine.a) @ moved_v)
            mu = gap / (2 * len(self.y)) * (max(after, 0.0) / gap) ** 3
            second = Sides(
                mu - s * at.u + affine.a * affine.u,
                mu - t * at.v - affine.a * affine.v,
            )
            step = self._step(at, Sides(s, t), system, second)
            reach = _reach(at, step, Sides(s, t))
            at = at.moved(step, reach)
        return QuantileLine(best.w, best.b, apart <= ENOUGH)

    def _start(self, scale: float) -> InteriorPoint:
        middle = float(np.quantile(self.y, self.quantile))
        left = self.y - middle
        u, v = np.maximum(left, 0.0) + scale, np.maximum(-left, 0.0) + scale
        a = np.zeros(len(self.y))
        return InteriorPoint(np.zeros(self.x.shape[1]), middle, a, u, v)

    def _off(self, at: InteriorPoint) -> float:
        """How far the equations are from holding, as a sum over the rows and the features."""
        fit, slope, total = self._residuals(at)
        return float(self.counts @ np.abs(fit)) + float(np.abs(slope).sum()) + abs(total)

    def _residuals(self, at: InteriorPoint) -> tuple[FloatArray, FloatArray, float]:
        fit = self.y - self.x @ at.w - at.b - at.u + at.v
        return fit, self.x.T @ at.a - self.penalty * at.w, float(at.a.sum())

    def _step(
        self,
        at: InteriorPoint,
        slack: Sides,
        system: Callable[[FloatArray, FloatArray, float], tuple[FloatArray, float, FloatArray]],
        wanted: Sides,
    ) -> InteriorPoint:
        """Newton's step to the equations with s·u and t·v changed by `wanted`."""
        (s, t), (to_u, to_v) = slack, wanted
        fit, slope, total = self._residuals(at)
        w, b, a = system(fit - to_u / s + to_v / t, slope, total)
        return InteriorPoint(w, b, a, (to_u + at.u * a) / s, (to_v - at.v * a) / t)

    def _system(
        self, d: FloatArray
    ) -> Callable[[FloatArray, FloatArray, float], tuple[FloatArray, float, FloatArray]]:
        """The solver of X·w + b + d·a = g, Xᵀa − 2α·w = −h, Σa = −k, from g, h and k to w, b and a."""
        rows, features = self.x.shape
        return self._by_features(d) if features < rows else self._by_rows(d)

    def _by_features(
        self, d: FloatArray
    ) -> Callable[[FloatArray, FloatArray, float], tuple[FloatArray, float, FloatArray]]:
        """a = (g − X·w − b) / d leaves an equation for each feature, and one for b."""
        q, features = 1.0 / d, self.x.shape[1]
        matrix = np.empty((features + 1, features + 1))
        matrix[:-1, :-1] = _product(self.x.T, self.x, q)
        matrix[-1, :-1] = matrix[:-1, -1] = self.x.T @ q
        matrix[-1, -1] = q.sum()
        matrix[np.arange(features), np.arange(features)] += self.penalty
        matrix[np.diag_indices(features + 1)] *= 1.0 + TINY
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)

        def solve(g: FloatArray, h: FloatArray, k: float) -> tuple[FloatArray, float, FloatArray]:
            right = np.append(h + self.x.T @ (q * g), k + float(q @ g))
            found = cho_solve(factor, right, check_finite=False)
            w, b = found[:-1], float(found[-1])
            return w, b, np.asarray(q * (g - self.x @ w - b))

        return solve

    def _by_rows(
        self, d: FloatArray
    ) -> Callable[[FloatArray, FloatArray, float], tuple[FloatArray, float, FloatArray]]:
        """w = (Xᵀa + h) / 2α leaves an equation for each row, and one for Σa."""
        matrix = _product(self.x, self.x.T, np.full(self.x.shape[1], 1.0 / self.penalty))
        matrix[np.diag_indices(len(d))] += d
        matrix[np.diag_indices(len(d))] *= 1.0 + TINY
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        ones = cho_solve(factor, np.ones(len(d)), check_finite=False)

        def solve(g: FloatArray, h: FloatArray, k: float) -> tuple[FloatArray, float, FloatArray]:
            part = cho_solve(factor, g - self.x @ h / self.penalty, check_finite=False)
            b = float((part.sum() + k) / ones.sum())
            a = part - b * ones
            return np.asarray((self.x.T @ a + h) / self.penalty), b, a

        return solve


def _product(left: Any, right: Any, weights: FloatArray) -> FloatArray:
    """left · diag(weights) · right, dense; both sparse or both dense."""
    if issparse(right):
        return np.asarray((left @ diags_array(weights) @ right).toarray())
    return np.asarray(left @ (weights[:, None] * right))


def _reach(at: InteriorPoint, step: InteriorPoint, slack: Sides) -> float:
    """How much of a step keeps u, v, s and t above 0, 1 at most."""
    s, t = slack
    pairs = ((at.u, step.u), (at.v, step.v), (s, -step.a), (t, step.a))
    shares = [
        float((-now[change < 0] / change[change < 0]).min(initial=np.inf)) for now, change in pairs
    ]
    return min(1.0, NEARLY * min(shares))


def penalized(fit: Fit, quantile: float, alpha: float, steps: int) -> QuantileLine:
    """Weights and bias of one quantile. `alpha`: above 0; `steps`: at most, about 15 to 30 are taken. The rows or the
    features are `MOST` at most.
    """
    counts = np.ones(fit.rows) if fit.weights is None else fit.weights
    y = np.asarray(fit.y, dtype=np.float64)
    middle, spread = float(np.median(y)), float(np.std(y)) or 1.0
    wide = fit.x if isinstance(fit.x, csr_array) else np.asarray(fit.x, dtype=np.float64)
    units = (y - middle) / spread
    found = PenalizedQuantile(wide, units, counts, quantile, 2 * alpha * spread, steps).solve()
    return QuantileLine(found.weights * spread, found.bias * spread + middle, found.converged)
