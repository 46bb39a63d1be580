"""The kernel matrix of a fit's rows, once for everything that is solved on it.

Shape letters: R rows, F features.
"""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sixfold.parts.table import FloatArray

BLOCK = 64  # rows computed at once: what is made of them stays in the processor's cache

Single = npt.NDArray[np.float32]


class Similarity(Protocol):
    """A kernel function."""

    @property
    def name(self) -> str:
        """Which one."""

    @property
    def gamma(self) -> float:
        """Its factor."""

    def matrix(self, x: FloatArray, support: FloatArray) -> FloatArray:
        """[R, F] and [S, F] → [R, S]."""


def gram(kernel: Similarity, x: FloatArray) -> Single:
    """k of all pairs of rows, [R, R]; the upper half is computed, the lower is its mirror.

    float32, which is what libsvm rounds every kernel value to before it uses it.
    """
    whole = np.empty((len(x), len(x)), dtype=np.float32)
    for start in range(0, len(x), BLOCK):
        rows, rest = x[start : start + BLOCK], x[start:]
        block = (
            _rbf(kernel.gamma, rows, rest) if kernel.name == "rbf" else kernel.matrix(rows, rest)
        )
        whole[start : start + BLOCK, start:] = block
        whole[start:, start : start + BLOCK] = whole[start : start + BLOCK, start:].T
    return whole


def _rbf(gamma: float, x: FloatArray, support: FloatArray) -> Single:
    """exp(-γ‖x - s‖²): the distance in double precision (it is a difference of large numbers), its
    exponential in single: a third of the time, and an error of at most 1e-7, as large as that of
    rounding.
    """
    squares = (x * x).sum(axis=1)[:, None] + (support * support).sum(axis=1)
    squares -= 2.0 * x @ support.T
    return np.asarray(np.exp(np.minimum(-gamma * squares, 0.0).astype(np.float32)))


class Gram:
    """The matrix, computed by the first thread that asks for it."""

    def __init__(self, kernel: Similarity, x: FloatArray) -> None:
        self.kernel, self.x = kernel, x
        self._lock = threading.Lock()
        self._matrix: Single | None = None

    def matrix(self) -> Single:
        """[R, R]."""
        with self._lock:
            if self._matrix is None:
                self._matrix = gram(self.kernel, self.x)
            return self._matrix
