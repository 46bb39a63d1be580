"""Training rows that are mostly zeros (one-hot), held without the zeros: large tables in little
memory, the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, hstack, vstack

from sixfold.parts.fit import Features, Matrix
from sixfold.parts.stored import StoredFeatures

DENSE_BYTES = 512 * 2**20  # features up to this size stay dense: solvers are faster on them
MOST_FILLED = (
    0.4  # share of other numbers than zero; a sparse number takes 12 bytes or more, a dense one 8
)


class SparseStack:
    """Blocks of rows, put one below the other in the form that takes less memory.

    `rows`, `columns`: of all of them together. `sparse`: whether that form may be sparse; the first
    block says how full they are.
    """

    def __init__(self, rows: int, columns: int, precision: str, sparse: bool) -> None:
        self.shape, self.precision = (rows, columns), np.dtype(precision)
        self.sparse, self._may_be_sparse = False, sparse
        self._dense: Matrix | None = None
        self._blocks: list[csr_array] = []

    def add(self, rows: slice, x: Features) -> None:
        """Rows `rows` of the result; blocks come in order. What comes sparse (features of texts)
        stays so where it may.
        """
        if rows.start == 0:
            large = (
                isinstance(x, csr_array)
                or self.shape[0] * self.shape[1] * self.precision.itemsize > DENSE_BYTES
            )
            self.sparse = (
                self._may_be_sparse
                and large
                and nonzeros(x) <= MOST_FILLED * x.shape[0] * x.shape[1]
            )
        with np.errstate(over="ignore"):  # beyond float32: infinite here and in the graph
            if self.sparse:
                self._blocks.append(csr_array(x, dtype=self.precision))
            else:
                self._whole()[rows] = dense(x)

    def result(self) -> Features:
        """[rows, features], dense, or csr_array where it was allowed and saves memory."""
        if not self.sparse:
            return self._whole()
        blocks, self._blocks = self._blocks, []
        return vstack(blocks, format="csr")

    def _whole(self) -> Matrix:
        if self._dense is None:
            self._dense = np.empty(self.shape, dtype=self.precision)
        return self._dense


def side_by_side(parts: Sequence[Features]) -> Features:
    """The columns of all parts, sparse where one of them is."""
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, csr_array) for part in parts):
        return csr_array(hstack([csr_array(part) for part in parts], format="csr"))
    return np.concatenate(parts, axis=1)


def dense(x: Features) -> Matrix:
    """With the zeros."""
    return x if isinstance(x, np.ndarray) else x.toarray()


def nonzeros(x: Features) -> int:
    """Numbers that are not 0; of what is on disk all of them count."""
    if isinstance(x, StoredFeatures):
        return x.shape[0] * x.shape[1]
    return int(np.count_nonzero(x)) if isinstance(x, np.ndarray) else int(x.nnz)


def held_bytes(x: Features) -> int:
    """Memory that `x` takes."""
    if isinstance(x, StoredFeatures):
        return 0
    return (
        x.nbytes
        if isinstance(x, np.ndarray)
        else int(x.data.nbytes + x.indices.nbytes + x.indptr.nbytes)
    )


def bounds(x: Features) -> Matrix:
    """[2, features]: the largest and the smallest value of each feature; NaN and infinities
    survive.
    """
    if isinstance(x, StoredFeatures):
        return np.repeat(np.array([[x.largest()], [0.0]]), x.shape[1], axis=1)
    if isinstance(x, np.ndarray):
        return np.stack([x.max(axis=0), x.min(axis=0)])
    return np.stack([x.max(axis=0).toarray().ravel(), x.min(axis=0).toarray().ravel()])
