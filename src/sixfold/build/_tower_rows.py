"""What two towers are trained on: an item that a user has, what else they have, and items of the same batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch

from sixfold.bundle.recommend.histories import Histories
from sixfold.bundle.recommend.sequence_scorer import PAD
from sixfold.parts.table import IntArray

FIXED: Final = 0  # seed of what is drawn for rows that are watched


@dataclass(frozen=True)
class TowerRows:
    """An `ExampleReader`: of user `owners[n]` entry `n` of all histories is wanted. `x`: as `TwoTowers` takes it; `y`: int64 [B],
    the wanted items. Of a history that is longer than `length` some are drawn.
    """

    seen: Histories
    length: int
    negatives: int
    owners: IntArray

    @classmethod
    def of(cls, seen: Histories, length: int, negatives: int) -> Self:
        """Every item of every user is wanted once."""
        return cls(seen, length, negatives, seen.users())

    def __len__(self) -> int:
        return len(self.owners)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`. The items of the batch are the negatives of each of its rows."""
        draw = torch.Generator().manual_seed(FIXED) if draw is None else draw
        users = self.owners[rows]
        wanted = self.seen.items[rows].astype(np.int64)
        picked = torch.randperm(len(rows), generator=draw).numpy()[
            np.arange(self.negatives) % len(rows)
        ]
        others = np.repeat(wanted[picked][None], len(rows), axis=0)
        before = self._before(rows, users, draw)
        x = np.concatenate([users[:, None], wanted[:, None], before, others], axis=1)
        return torch.from_numpy(x), torch.from_numpy(wanted)

    def _before(self, rows: IntArray, users: IntArray, draw: torch.Generator) -> IntArray:
        """int64 [B, length] other items of the users; PAD behind the last."""
        starts = self.seen.starts[users]
        count = self.seen.starts[users + 1] - starts - 1
        drawn = torch.rand((len(rows), self.length), generator=draw, dtype=torch.float64).numpy()
        every = np.broadcast_to(np.arange(self.length), drawn.shape)
        place = np.where(
            count[:, None] > self.length, (drawn * count[:, None]).astype(np.int64), every
        )
        there = place < count[:, None]
        place = place + (place >= (rows - starts)[:, None])  # passes over the wanted one
        at = np.where(there, starts[:, None] + place, 0)
        found: IntArray = np.where(there, self.seen.items[at], PAD).astype(np.int64)
        return found
