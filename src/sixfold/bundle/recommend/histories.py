"""What each of some users did: items and weights in the order of time, without the zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Histories:
    """`starts`: int64 [users + 1]; of user u, `items` and `weights` from starts[u] up to starts[u + 1]."""

    starts: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    weights: Float32

    @property
    def count(self) -> int:
        """Users."""
        return len(self.starts) - 1

    def lengths(self) -> npt.NDArray[np.int64]:
        """[users] how many items each has."""
        return np.diff(self.starts)

    def items_of(self, user: int) -> npt.NDArray[np.int32]:
        """Of one user."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    def weights_of(self, user: int) -> Float32:
        """Of one user."""
        return self.weights[self.starts[user] : self.starts[user + 1]]

    def take(self, users: npt.NDArray[Any]) -> Histories:
        """Of some users, in that order."""
        lengths = self.lengths()[users]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(starts[-1]) + np.repeat(self.starts[users] - starts[:-1], lengths)
        return Histories(starts, self.items[at], self.weights[at])

    def users(self) -> npt.NDArray[np.int64]:
        """Of each entry the number of its user."""
        return np.repeat(np.arange(self.count), self.lengths())


def nothing_done(users: int) -> Histories:
    """Of so many users who did nothing."""
    starts = np.zeros(users + 1, dtype=np.int64)
    return Histories(starts, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


def joined(parts: Sequence[Histories]) -> Histories:
    """The users of all parts, one part after the other."""
    lengths = np.concatenate([part.lengths() for part in parts])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = np.concatenate([part.items for part in parts])
    return Histories(starts, items, np.concatenate([part.weights for part in parts]))
