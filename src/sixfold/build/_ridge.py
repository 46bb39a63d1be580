"""Ridge regression for many penalties from one factorization, and what each row left out says of
them, without a refit.

Shape letters: R rows, F features, K outputs, A penalties, M the smaller of R and F.

min over w, b of ‖y - x w - b‖² + α‖w‖², b not penalized: with centered columns b is the mean of y,
and w = (XᵀX + αI)⁻¹ Xᵀy = Xᵀ(XXᵀ + αI)⁻¹ y. One symmetric eigendecomposition V diag(λ) Vᵀ of the
smaller of the two matrices leaves a diagonal division for every α (Golub, Heath and Wahba, 1979,
"Generalized cross-validation as a method for choosing a good ridge parameter").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sixfold.parts.fit import Features
from sixfold.parts.sparse import dense
from sixfold.parts.table import BoolArray, FloatArray
from sixfold.parts.weights import mean, total

BLOCK = 1024  # rows centered and multiplied at once: what is made of them stays in the processor's cache
ROUNDING = 1e-12  # squared length of a column of the basis, as a share of the longest, that is none
CONDITION = 1e8  # (largest λ) / (λ + α) up to which λ, known to 1e-16 of the largest, gives weights good to 1e-8


@dataclass(frozen=True)
class Ridge:
    """The factorized problem. `basis`: [F, M], `values`: λ [M], rising, `moments`: [M, K]: w =
    basis (moments / (λ + α)).

    `mean_x`: [F], `mean_y`: [K]. `counts`: [R], how often each row counts; None: once. Where rows count
    more or less, x and y, centered by their weighted means, are times the roots of the counts.
    """

    basis: FloatArray
    values: FloatArray
    moments: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    counts: FloatArray | None = None

    def exact(self, penalties: FloatArray) -> BoolArray:
        """For which penalties [A] rounding does not show. Columns of very unlike scales with a tiny
        α are not.
        """
        return np.asarray(self.values[-1] <= CONDITION * (self.values[0] + penalties))

    def weights(self, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[A] → weights [A, F, K] and biases [A, K]; one matrix product for all penalties."""
        shrunk_MAK = self.moments[:, None, :] / (self.values[:, None] + penalties)[:, :, None]
        product = self.basis @ shrunk_MAK.reshape(len(self.values), -1)
        w_FAK = product.reshape(len(self.basis), len(penalties), -1)
        bias_AK = self.mean_y - np.tensordot(self.mean_x, w_FAK, axes=1)
        return np.ascontiguousarray(np.moveaxis(w_FAK, 1, 0)), np.asarray(bias_AK, dtype=np.float64)


def factorized(x: Features, y: FloatArray, counts: FloatArray | None = None) -> Ridge:
    """[R, F] and [R, K] → the eigenvectors of the Gram matrix (R > F) or of the kernel matrix (R <=
    F). `counts`: as in `Ridge`.
    """
    if counts is not None:
        return _weighed(x, y, counts)
    mean_x, mean_y = np.asarray(x.mean(axis=0, dtype=np.float64)), y.mean(axis=0)
    y_RK = y - mean_y
    if x.shape[0] > x.shape[1]:
        gram, moments = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        for start in range(0, x.shape[0], BLOCK):
            block = dense(x[start : start + BLOCK]) - mean_x
            gram += block.T @ block
            moments += block.T @ y_RK[start : start + BLOCK]
        values, basis = _eigen(gram)
        return Ridge(basis, values, basis.T @ moments, mean_x, mean_y)
    x_RF = dense(x) - mean_x
    values, vectors = _eigen(x_RF @ x_RF.T)
    return Ridge(x_RF.T @ vectors, values, vectors.T @ y_RK, mean_x, mean_y)


def _weighed(x: Features, y: FloatArray, counts: FloatArray) -> Ridge:
    mean_x, mean_y = np.asarray(counts @ x) / counts.sum(), mean(y, counts)
    root_R1 = np.sqrt(counts)[:, None]
    y_RK = (y - mean_y) * root_R1
    if x.shape[0] > x.shape[1]:
        gram, moments = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        for start in range(0, x.shape[0], BLOCK):
            rows = slice(start, start + BLOCK)
            block = (dense(x[rows]) - mean_x) * root_R1[rows]
            gram += block.T @ block
            moments += block.T @ y_RK[rows]
        values, basis = _eigen(gram)
        return Ridge(basis, values, basis.T @ moments, mean_x, mean_y, counts)
    x_RF = (dense(x) - mean_x) * root_R1
    values, vectors = _eigen(x_RF @ x_RF.T)
    return Ridge(x_RF.T @ vectors, values, vectors.T @ y_RK, mean_x, mean_y, counts)


def penalties_for(largest: float) -> FloatArray:
    """Penalties worth trying where the largest eigenvalue is `largest`: 10^(k/4), from 1e-6 of it
    to ten times it, rising.

    Below, more than six digits of a left-out row's error would be rounding: 1 − h ≥ α / (λ + α) ·
    (1 − 1/R).
    """
    if not largest > 0:  # constant columns: nothing is learned, whatever the penalty
        return np.ones(1)
    low, high = np.ceil(4 * np.log10(1e-6 * largest)), np.floor(4 * np.log10(10 * largest))
    return np.asarray(10.0 ** (np.arange(low, high + 1) / 4))


def left_out(ridge: Ridge, x: Features, y: FloatArray, penalties: FloatArray) -> FloatArray:
    """The mean squared error, [A], of predicting each row by the ridge that is trained on all rows
    but that one.

    `x`: [R, F] and `y`: [R, K], the rows that `ridge` was factorized from. No refit: with the
    leverage of a row, intercept included, h = 1/R + Σ z² / (λ + α) and z = (x − mean) · (basis /
    its column's length), the row without itself has the error (y − ŷ) / (1 − h) (PRESS: Allen,
    1974; ridge: Golub, Heath and Wahba, 1979). Of a row that counts twice, once is left out.
    """
    rows = total(x.shape[0], ridge.counts)
    weights_AFK, bias_AK = ridge.weights(penalties)
    lengths_M = (ridge.basis**2).sum(axis=0)
    lengths_M[lengths_M <= ROUNDING * lengths_M.max()] = (
        np.inf
    )  # of no row anything, but for rounding
    shrink_MA = 1.0 / (lengths_M[:, None] * (ridge.values[:, None] + penalties))
    flat_FAK = np.moveaxis(weights_AFK, 0, 1).reshape(x.shape[1], -1)
    squares = np.zeros(len(penalties))
    for start in range(0, x.shape[0], BLOCK):
        block = np.asarray(dense(x[start : start + BLOCK]), dtype=np.float64)
        leverage_RA = 1.0 / rows + ((block - ridge.mean_x) @ ridge.basis) ** 2 @ shrink_MA
        error_RAK = (
            y[start : start + BLOCK, None]
            - bias_AK
            - (block @ flat_FAK).reshape(len(block), *bias_AK.shape)
        )
        square_RAK = (error_RAK / (1.0 - leverage_RA)[:, :, None]) ** 2
        if ridge.counts is not None:
            square_RAK *= ridge.counts[start : start + BLOCK, None, None]
        squares += square_RAK.sum(axis=(0, 2))
    return np.asarray(squares / (rows * y.shape[1]))


def best(largest: float, left_out: Callable[[FloatArray], FloatArray]) -> float:
    """The penalty, of `penalties_for(largest)`, with the least `left_out` error; of those equal to
    twelve digits the strongest.
    """
    penalties = penalties_for(largest)
    if len(penalties) == 1:
        return float(penalties[0])
    errors = left_out(penalties)
    return float(penalties[errors <= errors.min() * (1.0 + 1e-12)].max())


def _eigen(symmetric: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, rising, rounding below 0 cut off, and eigenvectors as columns.

    NumPy's, as the products around it: SciPy brings a BLAS of its own, whose threads wait for the
    same cores (measured on 2 cores, 18,000 × 200: 207 ms instead of 30 ms).
    """
    values, vectors = np.linalg.eigh(symmetric)
    return np.maximum(values, 0.0), vectors
