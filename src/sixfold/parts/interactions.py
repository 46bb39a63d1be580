"""Who did what, as codes: what a recommender is fitted on, and what it is asked about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from sixfold.bundle.recommend.histories import Float32, Histories
from sixfold.parts.fit import Fit
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import CodeArray, FloatArray, IntArray

# What the columns of a table of interactions are called, whatever they were in the file.
USER: Final = "user"
ITEM: Final = "item"
RATING: Final = "rating"
TIME: Final = "time"


@dataclass(frozen=True)
class Interactions(StoredFeatures):
    """Rows of a user and an item, never a matrix of both.

    `users`: int32 [rows], from 0; of rows that were not trained on, numbers from `user_count` up are
    users that are not known. `items`: int32 [rows], -1 for one that is not known. `times`: float64
    [rows], None: the order of the rows. `weights`: float64 [rows], how much each counts; None: once.
    `user_features`: float32 [users + 1, features], a row for each known user, then for each of the others, and one
    for anybody else; `item_features`: float32 [items, features]. None: there are none, or they are not read.
    """

    users: CodeArray
    items: CodeArray
    user_count: int
    item_count: int
    times: FloatArray | None = None
    weights: FloatArray | None = None
    user_features: Float32 | None = None
    item_features: Float32 | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and one feature."""
        return len(self.users), 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of codes."""
        return self.users.dtype

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> Self:
        """Some of the rows."""
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            times=None if self.times is None else self.times[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def largest(self) -> float:
        """The largest code."""
        return float(self.users.max(initial=0))

    def in_order(self) -> IntArray:
        """The rows by user, and of a user by time; of one moment as they stand."""
        if self.times is None:
            return np.argsort(self.users, kind="stable").astype(np.int64)
        return np.lexsort((self.times, self.users)).astype(np.int64)

    def histories(self) -> Histories:
        """Of each known user what it did: each item once, the weights of its rows together, in the order of
        the last time.
        """
        order = self.in_order()
        order = order[(self.users[order] < self.user_count) & (self.items[order] >= 0)]
        users, items = self.users[order].astype(np.int64), self.items[order].astype(np.int64)
        pairs, at = np.unique(users * self.item_count + items, return_inverse=True)
        weights = None if self.weights is None else self.weights[order]
        totals = np.bincount(at, weights, minlength=len(pairs)).astype(np.float32)
        last = np.zeros(len(pairs), dtype=np.int64)
        last[at] = np.arange(len(order))  # of several the last one stays
        sequence = np.argsort(last)
        owners = pairs[sequence] // self.item_count
        counts = np.bincount(owners, minlength=self.user_count)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        chosen = (pairs[sequence] % self.item_count).astype(np.int32)
        return Histories(starts, chosen, totals[sequence])


def interactions_of(fit: Fit) -> Interactions:
    """What a recommender's fit is of. Raises TypeError for other features."""
    return as_interactions(fit.x)


def as_interactions(x: object) -> Interactions:
    """Raises TypeError for other features."""
    if not isinstance(x, Interactions):
        raise TypeError(f"a recommender learns from interactions, not {type(x).__name__}")
    return x
