"""Ridge regression for a whole grid of penalties: XᵀX (or XXᵀ) is computed once, each penalty costs one Cholesky factor.

θ(α) = argmin ‖Xθ − Y‖² + α‖θ‖² = (XᵀX + αI)⁻¹XᵀY = Xᵀ(XXᵀ + αI)⁻¹Y, with X and Y centred, so that the bias has no penalty
(Hoerl and Kennard, 1970; the dual form: Saunders, Gammerman and Vovk, 1998). Of R rows and F features the product takes
R·F², a factor F³/3: with many rows nearly all work is shared.

Shape letters: R rows, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg import LinAlgError, solve

from sixfold.parts.fit import Matrix
from sixfold.parts.table import FloatArray


def solve_grid(x: Matrix, y: FloatArray, penalties: Sequence[float]) -> Iterator[tuple[FloatArray, FloatArray]]:
    """`x` [R, F], `y` [R, K] → for each penalty (above 0) the weights [F, K] and the bias [K], in their order."""
    x_mean, y_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    centred = x - x_mean
    target = y - y_mean
    rows, features = x.shape
    wide = features >= rows
    product = centred @ centred.T if wide else centred.T @ centred
    right = target if wide else centred.T @ target
    diagonal = product.diagonal().copy()
    for penalty in penalties:
        np.fill_diagonal(product, diagonal + penalty)
        found = _solved(product, right)
        weights = centred.T @ found if wide else found
        yield weights, y_mean - x_mean @ weights


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Of a symmetric matrix that the penalty keeps positive; where rounding does not, the least-squares solution."""
    try:
        return np.asarray(solve(matrix, right, assume_a="pos", check_finite=False))
    except LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])
