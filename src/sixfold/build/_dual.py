"""The duals of kernel machines, for a whole grid of (C, epsilon) on one kernel matrix: libsvm on
small working sets.

    min_β ½ β'Kβ - t'β + ε Σ|β|,  Σβ = 0,  values: |β_i| ≤ C;  classes (t = ±1, ε = 0): 0 ≤ t_i β_i
    ≤ C;  of a row that counts w times, w C stands for C

f(x) = Σ β_i k(x_i, x) + b. Rows with β = 0 at the optimum do not change it, so libsvm is given the
rows that may have weight: the support vectors of the neighboring C and the rows near the margin
there. Rows left out that break the Karush-Kuhn-Tucker conditions are added until none does: then
the gap between the most violating pair of *all* rows is libsvm's own tolerance, and the solution is
one of the whole problem (Osuna, Freund, Girosi 1997; the gap: Keerthi et al. 2001; Fan, Chen, Lin
2005). Shape letters: R, F rows and features of a fit, N rows of a problem, S support vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.svm import SVC, SVR

from sixfold.parts.table import FloatArray, IntArray
from sixfold.parts.weights import taken

TOLERANCE = 1e-3  # libsvm's default: largest gap of the optimality conditions
LOOSE = 0.1  # tolerance of the first look at a working set that may miss rows: a third of the iterations (measured)
NEAR = 0.1  # rows this near the margin or the tube belong to the working set; 0.05, 0.2, 0.3 measured no faster
START = 4  # the first look is at every fourth row,
LEAST = 50  # but at no fewer rows than these
MANY = 0.8  # a working set of more than this share of the rows is all rows
BLOCK = 64  # rows of the kernel matrix taken at once: what is made of them stays in the processor's cache

Single = npt.NDArray[np.float32]


class Point(NamedTuple):
    """A place in the grid; `epsilon` is 0 for classes."""

    epsilon: float
    C: float


class Solution(NamedTuple):
    """`rows`: int64 [S] positions with weight; `weights`: [S] their β; `bias`: b."""

    rows: IntArray
    weights: FloatArray
    bias: float


@dataclass(frozen=True)
class Dual:
    """`matrix`: K, [N, N]. `targets`: [N], ±1 where `classes`. `weights`: [N], by which C is multiplied
    for each row; None: by 1.

    K is float32, as libsvm itself holds it; what is summed over it here is summed in float64.
    """

    matrix: Single
    targets: FloatArray
    classes: bool
    weights: FloatArray | None = None

    def solve(self, points: Sequence[Point]) -> Iterator[Solution]:
        """One solution a point, in their order; each starts from the rows that mattered to the one
        before.
        """
        rows = self._few()
        for point in points:
            solution, rows = self._solve(point, rows)
            yield solution

    def _few(self) -> IntArray:
        """Rows to start from, evenly spaced over the targets; the least and the largest are among
        them.
        """
        order = np.argsort(self.targets, kind="stable")
        count = len(order) // START
        if count < LEAST:
            return np.arange(len(order))
        return np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)])

    def _solve(self, point: Point, rows: IntArray) -> tuple[Solution, IntArray]:
        """The solution, and the rows to start from at the next point."""
        if len(rows) < len(self.targets):
            solution = self._libsvm(point, rows, LOOSE)
            rows = self._near(solution, self._conditions(point, solution)[2])
        while True:
            solution = self._libsvm(point, rows, TOLERANCE)
            up, low, margin = self._conditions(point, solution)
            missing = _missing(up, low, rows)
            if not len(missing):
                return solution, self._near(solution, margin)
            rows = np.union1d(rows, missing)

    def _near(self, solution: Solution, margin: FloatArray) -> IntArray:
        """Support vectors and rows near the margin; all rows where that leaves out few, or leaves
        few.
        """
        near = margin > -NEAR
        near[solution.rows] = True
        return (
            np.flatnonzero(near) if LEAST <= near.sum() < MANY * len(near) else np.arange(len(near))
        )

    def _libsvm(self, point: Point, rows: IntArray, tolerance: float) -> Solution:
        part = self.matrix if len(rows) == len(self.matrix) else self.matrix[rows[:, None], rows]
        options = {"kernel": "precomputed", "C": point.C, "tol": tolerance, "cache_size": 500}
        with config_context(assume_finite=True):
            machine = SVC(**options) if self.classes else SVR(epsilon=point.epsilon, **options)
            own = taken(self.weights, rows)
            machine.fit(part.astype(np.float64), self.targets[rows], sample_weight=own)
        return Solution(rows[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))

    def _values(self, solution: Solution) -> FloatArray:
        """f - b of every row, [N]."""
        total = np.zeros(len(self.targets))
        for start in range(0, len(solution.rows), BLOCK):
            part = slice(start, start + BLOCK)
            total += solution.weights[part] @ self.matrix[solution.rows[part]].astype(np.float64)
        return total

    def _conditions(
        self, point: Point, solution: Solution
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """At the optimum max(up) ≤ min(low), and b lies between; [N] each.

        `up`: minus the derivative of the objective by β_i where β_i may rise, else -inf; `low`:
        where it may fall, else inf. `margin`: by how much a row is inside the margin, or outside
        the tube.
        """
        weight = np.zeros(len(self.targets))
        weight[solution.rows] = solution.weights
        error = self.targets - self._values(solution)
        most = point.C if self.weights is None else point.C * self.weights
        if self.classes:
            rises = np.where(self.targets > 0, weight < most, weight < 0)
            falls = np.where(self.targets > 0, weight > 0, weight > -most)
            up, low = np.where(rises, error, -np.inf), np.where(falls, error, np.inf)
            return up, low, self.targets * (error - solution.bias)
        up = np.where(
            weight < most, error - np.where(weight >= 0, point.epsilon, -point.epsilon), -np.inf
        )
        low = np.where(
            weight > -most, error - np.where(weight > 0, point.epsilon, -point.epsilon), np.inf
        )
        return up, low, np.abs(error - solution.bias) - point.epsilon


def _missing(up: FloatArray, low: FloatArray, rows: IntArray) -> IntArray:
    """Rows outside the working set to add: those that widen the gap beyond the tolerance, with rows
    nearly as bad.
    """
    most, least = up[rows].max(), low[rows].min()
    if max(most, up.max()) - min(least, low.min()) <= max(TOLERANCE, most - least):
        return rows[:0]
    bad = (up > least - NEAR) | (low < most + NEAR)
    bad[rows] = False
    return np.flatnonzero(bad)
