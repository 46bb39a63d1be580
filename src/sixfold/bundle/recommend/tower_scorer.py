"""Two towers (Yi and others, Sampling-bias-corrected neural modeling for large corpus item recommendations, 2019): a network
makes a vector of what is known of a user, another one of what is known of an item, and their cosine is the score. In NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.recommend.histories import Float32, Histories

Codes = npt.NDArray[np.int64]
TOWER: Final = ("tower_wide", "tower_wide_bias", "tower_narrow", "tower_narrow_bias")
SMALL: Final = 1e-6  # of a length, below which a vector is not stretched to 1


@dataclass(frozen=True)
class TowerScorer:
    """`items`: float32 [items, width], of length 1: what the tower of items made. `histories`: float32 [items, inner], of
    which the tower of users reads the mean over what a user did; `users`: float32 [users + 1, features], the last row of
    anybody who is not known. `tower`: two layers, with a ReLU between them.
    """

    items: Float32
    histories: Float32
    users: Float32
    tower: Mapping[str, Float32]

    @property
    def item_count(self) -> int:
        """Items that it knows."""
        return len(self.items)

    def with_users(self, features: Float32) -> TowerScorer:
        """As `ReadsUsers`."""
        return replace(self, users=features)

    def scores(self, users: Codes, histories: Histories) -> Float32:
        """As `Scorer`: cosines."""
        found: Float32 = self.vectors(users, histories) @ self.items.T
        return found

    def queries(self, users: Codes, histories: Histories) -> Float32:
        """As `ScoresByVectors`."""
        return self.vectors(users, histories)

    @property
    def searched(self) -> Float32:
        """As `ScoresByVectors`."""
        return self.items

    def vectors(self, users: Codes, histories: Histories) -> Float32:
        """float32 [users, width], of length 1."""
        means = np.zeros((histories.count, self.histories.shape[1]), dtype=np.float32)
        for user in np.flatnonzero(histories.lengths()).tolist():
            means[user] = self.histories[histories.items_of(user)].mean(axis=0)
        x = np.concatenate([means, self.users[users]], axis=1)
        hidden = np.maximum(x @ self.tower["tower_wide"] + self.tower["tower_wide_bias"], 0)
        return _stretched(hidden @ self.tower["tower_narrow"] + self.tower["tower_narrow_bias"])

    def similar(self, item: int) -> Float32 | None:
        """Cosines."""
        lengths = np.maximum(np.linalg.norm(self.items, axis=1), SMALL)
        found: Float32 = (self.items @ self.items[item]) / (lengths * lengths[item])
        return found

    def contributions(self, history: Histories, items: Codes) -> Float32 | None:
        """It is no sum over the history."""
        return None


def _stretched(vectors: npt.NDArray[Any]) -> Float32:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Float32 = (vectors / np.maximum(lengths, SMALL)).astype(np.float32)
    return found
