"""Ridge regression for many penalties from one factorisation, and its held-out predictions without a refit.

Shape letters: R rows, F features, K outputs, A penalties, M the smaller of R and F, S rows of a part.

min over w, b of ‖y - x w - b‖² + α‖w‖², b not penalised: with centred columns b is the mean of y, and
w = (XᵀX + αI)⁻¹ Xᵀy = Xᵀ(XXᵀ + αI)⁻¹ y. One symmetric eigendecomposition V diag(λ) Vᵀ of the smaller of the two matrices
leaves a diagonal division for every α (Golub, Heath and Wahba, 1979, "Generalized cross-validation as a method for
choosing a good ridge parameter").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from sixfold.parts.fit import Matrix
from sixfold.parts.table import BoolArray, FloatArray, IntArray

BLOCK = 1024  # rows centred and multiplied at once: what is made of them stays in the processor's cache
CONDITION = 1e8  # (largest λ) / (λ + α) up to which λ, known to 1e-16 of the largest, gives weights good to 1e-8
BLOCK_BYTES = 1 << 25  # of the matrices of a part, for all penalties done at once


@dataclass(frozen=True)
class Ridge:
    """The factorised problem. `basis`: [F, M], `values`: λ [M], rising, `moments`: [M, K]: w = basis (moments / (λ + α)).

    `mean_x`: [F], `mean_y`: [K].
    """

    basis: FloatArray
    values: FloatArray
    moments: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray

    def exact(self, penalties: FloatArray) -> BoolArray:
        """For which penalties [A] rounding does not show. Columns of very unlike scales with a tiny α are not."""
        return np.asarray(self.values[-1] <= CONDITION * (self.values[0] + penalties))

    def weights(self, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
        """[A] → weights [A, F, K] and biases [A, K]; one matrix product for all penalties."""
        shrunk_MAK = self.moments[:, None, :] / (self.values[:, None] + penalties)[:, :, None]
        product = self.basis @ shrunk_MAK.reshape(len(self.values), -1)
        w_FAK = product.reshape(len(self.basis), len(penalties), -1)
        bias_AK = self.mean_y - np.tensordot(self.mean_x, w_FAK, axes=1)
        return np.ascontiguousarray(np.moveaxis(w_FAK, 1, 0)), np.asarray(bias_AK, dtype=np.float64)


def factorised(x: Matrix, y: FloatArray) -> Ridge:
    """[R, F] and [R, K] → the eigenvectors of the Gram matrix (R > F) or of the kernel matrix (R <= F)."""
    mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    y_RK = y - mean_y
    if x.shape[0] > x.shape[1]:
        gram, moments = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        for start in range(0, len(x), BLOCK):
            block = x[start : start + BLOCK] - mean_x
            gram += block.T @ block
            moments += block.T @ y_RK[start : start + BLOCK]
        values, basis = _eigen(gram)
        return Ridge(basis, values, basis.T @ moments, mean_x, mean_y)
    x_RF = x - mean_x
    values, vectors = _eigen(x_RF @ x_RF.T)
    return Ridge(x_RF.T @ vectors, values, vectors.T @ y_RK, mean_x, mean_y)


def held_out(x: Matrix, y: FloatArray, parts: Sequence[IntArray], penalties: FloatArray) -> FloatArray:
    """Predictions [A, R, K] of every row by the ridge that is trained on all rows but those of its part.

    `x`: [R, F]; `y`: [R, K]; `parts`: disjoint row indices, none of them all rows (a row of no part is NaN). With
    Z = XV (or V√λ of the kernel matrix) the hat matrix of all rows, intercept included, is
    H = 11ᵀ/R + Z diag(1/(λ + α)) Zᵀ, and with e = y - Hy the rows S of a part are predicted without themselves as

        ŷ₋S = y_S - (I - H_SS)⁻¹ e_S,    a row alone: y - e / (1 - h)

    (PRESS: Allen, 1974; ridge: Golub, Heath and Wahba, 1979). An identity, not an approximation: the model of the other
    rows stays the best one when rows S come back with targets that it predicts itself. In floating point it loses digits
    where 1 - h is near 0: R <= F with a small penalty, or one row far larger than the others. No run uses it yet.
    """
    penalties, mean_y = np.asarray(penalties, dtype=np.float64), y.mean(axis=0)
    z_RM, values = _scores(x - x.mean(axis=0, dtype=np.float64))
    centred = y - mean_y
    strength_AM = values + penalties[:, None]
    error_ARK = centred - z_RM @ ((z_RM.T @ centred) / strength_AM[:, :, None])
    found = np.full(error_ARK.shape, np.nan)
    alone = np.array([part[0] for part in parts if len(part) == 1], dtype=np.int64)
    if len(alone):
        leverage_AS = 1.0 / len(y) + (1.0 / strength_AM) @ (z_RM[alone] ** 2).T
        found[:, alone] = y[alone] - error_ARK[:, alone] / (1.0 - leverage_AS)[:, :, None]
    for part in (part for part in parts if len(part) > 1):
        side = min(len(part), z_RM.shape[1] + 1)
        step = max(1, BLOCK_BYTES // (8 * side**2))
        for start in range(0, len(penalties), step):
            some = slice(start, start + step)
            found[some, part] = y[part] - _without(z_RM[part], strength_AM[some], error_ARK[some, part], len(y))
    return found


def _without(z_SM: FloatArray, strength_AM: FloatArray, error_ASK: FloatArray, rows: int) -> FloatArray:
    """(I - H_SS)⁻¹ e_S for every penalty, [A, S, K]. A part of more than M rows by the identity of Woodbury (1950):
    (I - Z D⁻¹ Zᵀ)⁻¹ = I + Z (D - ZᵀZ)⁻¹ Zᵀ, with the intercept as one more column of Z.
    """
    if len(z_SM) <= z_SM.shape[1]:
        hat_ASS = (z_SM / strength_AM[:, None, :]) @ z_SM.T
        return np.asarray(np.linalg.solve(np.eye(len(z_SM)) - 1.0 / rows - hat_ASS, error_ASK), dtype=np.float64)
    z = np.concatenate([np.ones((len(z_SM), 1)), z_SM], axis=1)
    strength = np.concatenate([np.full((len(strength_AM), 1), float(rows)), strength_AM], axis=1)
    system = strength[:, :, None] * np.eye(z.shape[1]) - z.T @ z
    return np.asarray(error_ASK + z @ np.linalg.solve(system, z.T @ error_ASK), dtype=np.float64)


def _scores(x_RF: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Z [R, M] and λ [M] with XXᵀ = ZZᵀ and ZᵀZ = diag(λ)."""
    if x_RF.shape[0] > x_RF.shape[1]:
        values, vectors = _eigen(x_RF.T @ x_RF)
        return x_RF @ vectors, values
    values, vectors = _eigen(x_RF @ x_RF.T)
    return vectors * np.sqrt(values), values


def _eigen(symmetric: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, rising, rounding below 0 cut off, and eigenvectors as columns."""
    values, vectors = eigh(symmetric, driver="evd", overwrite_a=True, check_finite=False)
    return np.maximum(values, 0.0), vectors
