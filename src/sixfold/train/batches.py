"""Which rows are trained on, in which order, and how many at a time: for one replica, and for many
at once.

Shape letters: K replicas, S steps, B rows of a batch, R = S · B rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array

from sixfold.parts.fit import Fit
from sixfold.parts.table import FloatArray, IntArray
from sixfold.train.rank_group import ALONE, RankGroup

Encode = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
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
class SomeRows:
    """Some of the rows of `x`, int64 `rows`, in another `dtype`; copied when they are asked for."""

    x: torch.Tensor | SparseRows | SomeRows
    rows: torch.Tensor
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.rows), int(self.x.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: torch.Tensor | slice) -> torch.Tensor:
        return self.x[self.rows[rows]].to(self.dtype)


@dataclass(frozen=True)
class Batches:
    """The rows of one replica. `x`: [rows, F], dense or sparse; `y`: [rows] or [rows, outputs],
    where it is trained; `size`: rows a step; `seed`: of the order of rows; `weights`: [rows], with the
    mean 1, how often each row counts; None: once.

    One row a step draws a random row each time, without repeating one before all were seen (a
    permutation an epoch).
    """

    x: torch.Tensor | SparseRows | SomeRows
    y: torch.Tensor
    size: int
    seed: int
    weights: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """Steps an epoch; the last batch may be smaller, and is kept."""
        return -(-len(self.x) // self.size)

    def rows(self) -> list[int]:
        """Rows of each batch, `count` of them."""
        return [self.size] * (self.count - 1) + [len(self.x) - self.size * (self.count - 1)]


class Batch(NamedTuple):
    """One step of all replicas. `x`: [K, B, F]; `target`, `weight`: what `encode` made of y, [K, B]
    or [K, B, outputs], and of 1 / rows of the replica's own batch, 0 where it has no row, [K, B]: Σ
    weight · loss is each replica's mean loss; rows that count more or less, in that proportion. `number`:
    of the step in its epoch, from 0.
    """

    x: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    number: int


class ReplicaBatches:
    """The batches of many replicas, side by side: number i of each makes one `Batch`.

    Folds of unequal size differ in the rows of their last batch, or in how many batches they have;
    nobody's rows are dropped. `orders`: one generator a replica, which decides its order of rows
    and nothing else. Of several `ranks` each gets its share of the B rows of every batch, `own`; its
    weights are those of the whole batch.
    """

    def __init__(self, replicas: Sequence[Batches], ranks: RankGroup = ALONE) -> None:
        self.replicas, self.ranks = list(replicas), ranks
        self.orders = [torch.Generator().manual_seed(replica.seed) for replica in replicas]
        self.before = [
            order.get_state() for order in self.orders
        ]  # at the start of the epoch in work
        self.size = max(replica.size for replica in replicas)
        self.count = max(replica.count for replica in replicas)
        self.device = replicas[0].y.device
        weights = torch.zeros(
            (len(self.replicas), self.count, self.size), dtype=_dtype(self.replicas[0])
        )
        for weight, replica in zip(weights, self.replicas, strict=True):
            for number, rows in enumerate(replica.rows()):
                weight[number, :rows] = 1.0 / rows
        self.own = ranks.share(self.size)
        self.weight = weights.to(self.device)
        self._room: tuple[torch.Tensor, torch.Tensor] | None = (
            None  # of a block: filled again and again
        )
        self.whole: list[
            Batch
        ] = []  # the only block of an epoch: without a new order, it need not be read again

    def keep(self, positions: Sequence[int]) -> ReplicaBatches:
        """The same without the other replicas; each goes on in its own order."""
        rest = ReplicaBatches([self.replicas[position] for position in positions], self.ranks)
        rest.orders = [self.orders[position] for position in positions]
        rest.before = [self.before[position] for position in positions]
        return rest

    def shares(self) -> FloatArray:
        """What each batch is of its replica's epoch, float64 [K, count]; 0 for batches that a
        replica does not have.
        """
        shares = np.zeros((len(self.replicas), self.count))
        for share, replica in zip(shares, self.replicas, strict=True):
            share[: replica.count] = np.array(replica.rows()) / len(replica.x)
        return shares

    def epoch(self, encode: Encode = lambda y, weight: (y, weight)) -> Iterator[Batch]:
        """The batches of one more epoch. All rows in one batch keep their order: gradient descent.

        `encode`: targets [K, S, B] or [K, S, B, outputs] and weights [K, S, B] → what the steps
        want of them, [K, S, …].
        """
        if self.count == 1:
            if not self.whole:
                self.whole = list(
                    self._block([torch.arange(len(one.x)) for one in self.replicas], 0, 1, encode)
                )
            yield from self.whole
            return
        self.before = [order.get_state() for order in self.orders]
        orders = [
            permutation(len(one.x), order) if one.count > 1 else torch.arange(len(one.x))
            for one, order in zip(self.replicas, self.orders, strict=True)
        ]
        for first in range(0, self.count, step := self._at_once()):
            yield from self._block(orders, first, min(first + step, self.count), encode)

    def _weight(self, orders: Sequence[torch.Tensor], first: int, last: int) -> torch.Tensor:
        """Of the rows of batches `first` to `last` − 1, [K, S, B]."""
        weight = self.weight[:, first:last]
        if all(one.weights is None for one in self.replicas):
            return weight
        weight = weight.clone()
        for part, one, order in zip(weight, self.replicas, orders, strict=True):
            if one.weights is not None:
                own = one.weights[order[first * one.size : last * one.size].to(self.device)]
                for number in range(-(-len(own) // one.size)):
                    batch = own[number * one.size : (number + 1) * one.size]
                    part[number, : len(batch)] *= batch
        return weight

    def _at_once(self) -> int:
        """Batches of one block."""
        x = self.replicas[0].x
        return max(
            1,
            BLOCK_BYTES
            // (len(self.replicas) * len(self.own) * max(1, x.shape[1]) * x.dtype.itemsize),
        )

    def _block(
        self, orders: Sequence[torch.Tensor], first: int, last: int, encode: Encode
    ) -> Iterator[Batch]:
        """Batches `first` to `last` − 1, gathered at once."""
        dtype, y = _dtype(self.replicas[0]), self.replicas[0].y
        rows, count = (last - first) * len(self.own), len(self.replicas)
        if self._room is None:  # zeros: where a replica has no row, there must be numbers
            x_KRF = torch.zeros(
                (count, rows, self.replicas[0].x.shape[1]), dtype=dtype, device=self.device
            )
            self._room = x_KRF, y.new_zeros((count, rows, *y.shape[1:]))
        x_KRF, y_KR = (part[:, :rows] for part in self._room)  # the last block is shorter
        for at, (one, order) in enumerate(zip(self.replicas, orders, strict=True)):
            block = self._own_rows(one, order, first, last)
            there = block.to(self.device)
            if isinstance(one.x, torch.Tensor):
                torch.index_select(one.x, 0, there, out=x_KRF[at, : len(block)])
            else:
                x_KRF[at, : len(block)] = one.x[block]
            torch.index_select(one.y, 0, there, out=y_KR[at, : len(block)])
        weight = self._weight(orders, first, last)[:, :, self.own.start : self.own.stop]
        encoded = encode(y_KR.view(*weight.shape, *y.shape[1:]), weight)
        steps = x_KRF.view(*weight.shape, -1), *encoded
        numbers = range(first, last)
        yield from map(
            Batch, *(part.unbind(1) for part in steps), numbers
        )  # one call for all: a slice a step costs more

    def _own_rows(self, one: Batches, order: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Of batches `first` to `last` − 1 the rows of this rank, int64; only the end of an order is
        short of some.
        """
        if self.ranks.count == 1:
            return order[first * one.size : last * one.size]
        own = torch.arange(self.own.start, self.own.stop)
        places = (self.size * torch.arange(first, last)[:, None] + own).reshape(-1)
        return order[places[places < len(order)]]


def permutation(rows: int, generator: torch.Generator) -> torch.Tensor:
    """The order of the rows in one epoch, int64 [rows]."""
    return torch.randperm(rows, generator=generator)


def _dtype(batches: Batches) -> torch.dtype:
    return batches.x.dtype


def cut(fit: Fit, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Rows to train on and rows to watch, sorted; in proportion to the classes, whose only row is
    never cut off.

    Rows of a group (`Fit.groups`) are on one side; with so few groups that none can be spared,
    there are no rows to watch.
    """
    rows = fit.rows
    count = min(max(1, round(share * rows)), rows - 1)
    if fit.groups is not None:
        watched = fit.whole_groups(count, seed)
        return np.setdiff1d(np.arange(rows), watched), watched
    shuffled = np.random.default_rng(seed).permutation(rows)
    if fit.task == "classification":
        counts = np.bincount(np.asarray(fit.y, dtype=np.int64), minlength=fit.outputs)[
            np.asarray(fit.y, dtype=np.int64)
        ]
        shuffled = shuffled[np.argsort(fit.y[shuffled], kind="stable")]
        shuffled = shuffled[counts[shuffled] > 1]
        count = min(count, len(shuffled))
    at = (
        ((np.arange(count) + 0.5) * len(shuffled) / count).astype(np.int64)
        if count
        else np.zeros(0, dtype=np.int64)
    )
    watched = np.sort(shuffled[at])
    return np.setdiff1d(np.arange(rows), watched), watched.astype(np.int64)
