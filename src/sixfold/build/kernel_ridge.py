"""Kernel ridge regression: every penalty from one eigendecomposition of the kernel matrix.

Shape letters: R rows, F features, K outputs, A penalties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve

from sixfold.build import _ridge
from sixfold.build._side_by_side import side_by_side
from sixfold.build.family import FitCost, FitWork, SolverFamily
from sixfold.build.svm import Kernel, KernelMachine, stratified_sample, variance_of
from sixfold.parts.fit import Fit, Fitted, Matrix, Needs
from sixfold.parts.sparse import dense
from sixfold.parts.table import FloatArray, Task
from sixfold.parts.weights import mean, taken
from sixfold.runs.context import Context

ROUNDING = (
    1e-12  # of the largest eigenvalue: a kernel matrix with one below minus that is not positive
)
COPIES, EIGEN_COPIES = 3, 5  # of the kernel matrix at the peak of a fit
MEMORY_BYTES = 2 << 30  # of the matrices of all fits that are solved side by side
FEW = 8  # penalties below which a Cholesky factorization of each is less work (1,500 rows: 0.08 s; eigenvectors 0.6 s)

# Measured on one core with random rows, 1,000 to 16,000, of 10 and 60 features.
FACTOR_S, PAIR_FEATURE_S = 1.2e-11, 2e-10


class Settings(SolverFamily):
    """Kernel ridge regression: least squares with a smooth function of the rows that are like it.
    Minimizes Σ (y - ȳ - f(x))² + alpha · ‖f‖², f = Σ c k(·, row): c = (K + alpha I)⁻¹ (y - ȳ). All
    rows are kept, unlike svm, and a whole grid of penalties costs one eigendecomposition (Saunders,
    Gammerman and Vovk, 1998). Takes at most `sample` rows, because time grows with their cube. A
    linear kernel is family linear's ridge.
    """

    needs: ClassVar[Needs] = Needs(sparse=True)
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "reconstruction"})
    all_values_at_once: ClassVar[bool] = True
    shared: ClassVar[frozenset[str]] = frozenset({"alpha"})

    kernel: Literal["rbf", "poly", "sigmoid"] = Field("rbf", description="Similarity of two rows.")
    alpha: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        1.0,
        description="Strength of the penalty, above 0; auto: that which predicts each training row best without it.",
    )
    gamma: Literal["scale", "auto"] | Annotated[float, Field(gt=0)] = Field(
        "scale",
        description="Factor in the kernel: scale is 1 / (features · variance), auto is 1 / features.",
    )
    degree: int = Field(3, ge=1, le=10, description="Degree of poly, 1 to 10.")
    coef0: float = Field(0.0, description="Constant r of poly and sigmoid.")
    sample: int = Field(
        5000, ge=10, description="Most training rows, drawn with the seed; at least 10."
    )

    @property
    def side_by_side(self) -> bool:
        """LAPACK works outside of Python's lock."""
        return True

    def solve(
        self, settings: Sequence[Self], fits: Sequence[Fit], context: Context
    ) -> Iterator[Fitted]:
        """Yield fit by fit, and within a fit setting by setting; the kernel matrix is decomposed
        once a fit.
        """
        penalties = np.array(
            [np.nan if setting.alpha == "auto" else setting.alpha for setting in settings]
        )

        def all_of(fit: Fit, threads: int, context: Context) -> list[Fitted]:
            return list(self._machines(self._sampled(fit, context), penalties, context))

        rows = min(self.sample, max((fit.rows for fit in fits), default=1))
        together = max(1, MEMORY_BYTES // (EIGEN_COPIES * 8 * rows * rows))
        for first in range(0, len(fits), together):
            yield from side_by_side(fits[first : first + together], all_of, context)

    def _machines(
        self, fit: Fit, penalties: FloatArray, context: Context
    ) -> Iterator[KernelMachine]:
        """One a penalty, of the rows of one fit."""
        context.check_time("fitting kernel_ridge")
        x = np.asarray(fit.x, dtype=np.float64)
        y_RK = np.asarray(fit.y, dtype=np.float64).reshape(len(x), -1)
        kernel, bias = (
            Kernel(self.kernel, self._gamma(x, fit.weights), self.coef0, self.degree),
            mean(y_RK, fit.weights),
        )
        positive = self.kernel == "rbf" or (self.kernel == "poly" and self.coef0 >= 0)
        problem = RidgeProblem.of(kernel.matrix(x, x), y_RK - bias, fit.weights)
        if np.isnan(penalties).any():
            told = replace(context, facts={**context.facts, **fit.facts})
            solved = _by_eigenvectors(problem, penalties, told)
        else:
            solved = _coefficients(problem, penalties, positive)
        for weights in solved:
            context.check_time("fitting kernel_ridge")
            own = weights if problem.root is None else weights * problem.root[:, None]
            yield KernelMachine(kernel, x, own, bias, fit.task, (), fit.outputs)

    def work(self, rows: int) -> float:
        """A matrix of so many rows is factored."""
        return float(min(rows, self.sample)) ** 3

    def expected(self, few: Sequence[Fit], rows: int) -> FitWork | None:
        """A matrix of so many rows is made and factored."""
        own = min(rows, self.sample)
        return FitWork(
            solver_s=FACTOR_S * float(own) ** 3 + PAIR_FEATURE_S * own**2 * few[0].x.shape[1]
        )

    def cost(self, few: Sequence[Fit], rows: int) -> FitCost:
        """Kernel matrices: that of the rows, that with a penalty, and what factoring it takes; of
        the model the rows, and a coefficient of each for every output.
        """
        copies = (
            EIGEN_COPIES
            if len(few) >= FEW or self.alpha == "auto" or self.kernel != "rbf"
            else COPIES
        )
        own = min(rows, self.sample)
        return FitCost(
            int(copies * 8 * own * own), int(8 * own * (few[0].x.shape[1] + few[0].outputs))
        )

    def _sampled(self, fit: Fit, context: Context) -> Fit:
        if fit.rows <= self.sample:
            return replace(fit, x=dense(fit.x))
        rows = stratified_sample(np.zeros(fit.rows, dtype=np.int64), self.sample, fit.seed)
        context.emit(
            "note",
            text=f"kernel_ridge: learns from {self.sample:,} of {fit.rows:,} rows, drawn at random",
        )
        weights = taken(fit.weights, rows)
        return replace(fit, x=dense(fit.x[rows]), y=fit.y[rows], groups=None, weights=weights)

    def _gamma(self, x: Matrix, weights: FloatArray | None) -> float:
        if self.gamma == "scale":
            variance = variance_of(x, weights)
            return float(1.0 / (x.shape[1] * variance)) if variance > 0 else 1.0
        return 1.0 / x.shape[1] if self.gamma == "auto" else float(self.gamma)


class RidgeProblem(NamedTuple):
    """`matrix`: K, [R, R]; `y`: centered, [R, K]. `root`: [R], of rows that count more or less the root
    of how often, by which K and y are multiplied then; None: all count once.
    """

    matrix: FloatArray
    y: FloatArray
    root: FloatArray | None

    @classmethod
    def of(cls, matrix: FloatArray, y_RK: FloatArray, weights: FloatArray | None) -> Self:
        """min Σ w (y − f(x))² + α‖f‖²: with S the diagonal of √w, c = S (S K S + αI)⁻¹ S y."""
        if weights is None:
            return cls(matrix, y_RK, None)
        root = np.sqrt(weights)
        return cls(matrix * root[:, None] * root, y_RK * root[:, None], root)


def _coefficients(
    problem: RidgeProblem, penalties: FloatArray, positive: bool
) -> Iterator[FloatArray]:
    """(K + αI)⁻¹ y for every α, each [R, K].

    A few α of a positive kernel are a Cholesky factorization each, a fraction of the eigenvectors'
    work; more share one eigendecomposition.
    """
    if not positive or len(penalties) >= FEW:
        yield from _by_eigenvectors(problem, penalties, Context())
        return
    matrix, y_RK, _ = problem
    for alpha in penalties:
        shifted = matrix.copy()
        shifted.flat[:: len(matrix) + 1] += alpha
        factor = cho_factor(shifted, overwrite_a=True)
        yield np.asarray(cho_solve(factor, y_RK), dtype=np.float64)


def _by_eigenvectors(
    problem: RidgeProblem, penalties: FloatArray, context: Context
) -> Iterator[FloatArray]:
    """The same from K = V diag(λ) Vᵀ, which leaves a division by λ + α and a product; NaN is the α
    found by `_left_out`.

    Where a kernel is not positive (sigmoid; poly with a negative constant) the directions of
    negative eigenvalues get no part: the nearest positive matrix ("spectrum clip", Chen et al.,
    2009), for otherwise K + αI may be singular.
    """
    matrix, y_RK, root = problem
    values, vectors = np.linalg.eigh(matrix)  # not SciPy's: see _ridge._eigen
    moments = vectors.T @ y_RK
    moments[values < -ROUNDING * abs(values).max()] = 0.0
    values = np.maximum(values, 0.0)
    found = np.nan
    if np.isnan(penalties).any():
        found = _ridge.best(float(values[-1]), partial(_left_out, values, vectors, y_RK, root))
        context.emit(
            "note",
            text=f"kernel_ridge: alpha {found:.3g}, which predicts each training row best without it",
        )
    for alpha in np.where(np.isnan(penalties), found, penalties):
        yield np.asarray(vectors @ (moments / (values + alpha)[:, None]), dtype=np.float64)


def _left_out(
    values: FloatArray,
    vectors: FloatArray,
    y_RK: FloatArray,
    root: FloatArray | None,
    penalties: FloatArray,
) -> FloatArray:
    """The mean squared error, [A], of predicting each row by the model of all rows but that one,
    its own mean included.

    With M = I − K(K + αI)⁻¹ = V diag(α / (λ + α)) Vᵀ, the row's error is (M(y − m))ᵢ / Mᵢᵢ, where m
    is the mean of the other rows' targets: −yᵢ / (R − 1), for `y_RK` is centered (Allen, 1974;
    Craven and Wahba, 1979). Of a row that counts twice, once is left out.
    """
    if root is not None:
        return _one_left_out(values, vectors, y_RK, root, penalties)
    ones, moments, squares = vectors.sum(axis=0), vectors.T @ y_RK, vectors**2
    means = -y_RK / (len(y_RK) - 1)
    errors = []
    for alpha in penalties:
        shrink = alpha / (values + alpha)
        without = (
            vectors @ (shrink[:, None] * moments) - means * (vectors @ (shrink * ones))[:, None]
        )
        errors.append(np.mean((without / (squares @ shrink)[:, None]) ** 2))
    return np.array(errors)


def _one_left_out(
    values: FloatArray,
    vectors: FloatArray,
    y_RK: FloatArray,
    root: FloatArray,
    penalties: FloatArray,
) -> FloatArray:
    """`_left_out` of rows that count `root`² times: M of the scaled matrix gives residuals times the
    root, and the leverage 1 − Mᵢᵢ of all copies of a row together.
    """
    counts = root**2
    plain_RK = y_RK / root[:, None]
    ones, moments, squares = vectors.T @ root, vectors.T @ y_RK, vectors**2
    means = -plain_RK / (counts.sum() - 1)
    errors = []
    for alpha in penalties:
        shrink = alpha / (values + alpha)
        left = (vectors @ (shrink[:, None] * moments)) / root[:, None]
        left -= means * (vectors @ (shrink * ones) / root)[:, None]
        leverage = (1.0 - squares @ shrink) / counts
        errors.append(
            np.average(np.mean((left / (1.0 - leverage)[:, None]) ** 2, 1), weights=counts)
        )
    return np.array(errors)
