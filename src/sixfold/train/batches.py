"""Which rows are trained on, in which order, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from sixfold.parts.fit import Fit
from sixfold.parts.table import IntArray

BLOCK_BYTES = 64 << 20  # rows of an epoch that are put in order at once: fewer calls, little memory


@dataclass(frozen=True)
class SparseRows:
    """Rows held without their zeros; those that are asked for come dense, in `dtype`."""

    x: csr_array
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return int(self.x.shape[0]), int(self.x.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: torch.Tensor | slice) -> torch.Tensor:
        picked = self.x[rows if isinstance(rows, slice) else rows.numpy()]
        return torch.from_numpy(picked.toarray()).to(self.dtype)


@dataclass(frozen=True)
class Batches:
    """`x`: [rows, features], dense or sparse; `y`: [rows] or [rows, outputs]; `size`: rows a step; `seed`: of the order of rows.

    One row a step draws a random row each time, without repeating one before all were seen (a permutation an epoch).
    """

    x: torch.Tensor | SparseRows
    y: torch.Tensor
    size: int
    seed: int

    @property
    def count(self) -> int:
        """Steps an epoch; the last batch may be smaller, and is kept."""
        return -(-len(self.x) // self.size)

    def sizes(self) -> torch.Tensor:
        """Rows of each batch, [count], as the fractions of an epoch that they are."""
        rows = torch.full((self.count,), float(self.size), dtype=torch.float64)
        rows[-1] = len(self.x) - self.size * (self.count - 1)
        return rows / len(self.x)

    def epochs(self) -> Iterator[Iterable[tuple[torch.Tensor, torch.Tensor]]]:
        """Forever: the batches of one more epoch. All rows in one batch keep their order: gradient descent."""
        generator = torch.Generator().manual_seed(self.seed)
        whole = [(self.x[:], self.y)] if self.count == 1 else []
        while True:
            yield whole or self._in_order(permutation(len(self.x), generator))

    def _in_order(self, order: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        row_bytes = self.x.shape[1] * self.x.dtype.itemsize
        rows = self.size * max(1, BLOCK_BYTES // (self.size * max(1, row_bytes)))
        for block in torch.split(order, rows):
            x, y = self.x[block], self.y[block]
            yield from zip(torch.split(x, self.size), torch.split(y, self.size), strict=True)


def permutation(rows: int, generator: torch.Generator) -> torch.Tensor:
    """The order of the rows in one epoch, int64 [rows]."""
    return torch.randperm(rows, generator=generator)


def cut(fit: Fit, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Rows to train on and rows to watch, sorted; in proportion to the classes, whose only row is never cut off."""
    rows = fit.rows
    count = min(max(1, round(share * rows)), rows - 1)
    shuffled = np.random.default_rng(seed).permutation(rows)
    if fit.task == "classification":
        counts = np.bincount(np.asarray(fit.y, dtype=np.int64), minlength=fit.outputs)[
            np.asarray(fit.y, dtype=np.int64)
        ]
        shuffled = shuffled[np.argsort(fit.y[shuffled], kind="stable")]
        shuffled = shuffled[counts[shuffled] > 1]
        count = min(count, len(shuffled))
    at = ((np.arange(count) + 0.5) * len(shuffled) / count).astype(np.int64) if count else np.zeros(0, dtype=np.int64)
    watched = np.sort(shuffled[at])
    return np.setdiff1d(np.arange(rows), watched), watched.astype(np.int64)
