"""What a sequential recommender is trained on: windows of what each user did, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch

from sixfold.bundle.recommend.histories import Histories
from sixfold.bundle.recommend.sequence_scorer import PAD
from sixfold.parts.table import BoolArray, IntArray

FIXED: Final = 0  # seed of the negatives of rows that are watched


@dataclass(frozen=True)
class ItemWindows:
    """An `ExampleReader`: of user `owners[n]` the items before number `ends[n]`, `length` at most, each the
    one that is wanted after those before it. `x`: as `ItemSequence` takes it; `y`: int64 [B, length] the
    wanted items.
    """

    seen: Histories
    items: int
    length: int
    negatives: int
    owners: IntArray
    ends: IntArray

    @classmethod
    def of(cls, seen: Histories, items: int, length: int, negatives: int) -> Self:
        """Every item of every user is wanted once: the last window ends with the last item."""
        lengths = seen.lengths()
        counts = -(-lengths // length)
        owners = np.repeat(np.arange(seen.count), counts)
        number = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(seen, items, length, negatives, owners, lengths[owners] - number * length)

    def __len__(self) -> int:
        return len(self.owners)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`."""
        place = self.ends[rows, None] - self.length + np.arange(self.length)[None]
        starts = self.seen.starts[self.owners[rows], None]
        wanted = self._at(starts + place, place >= 0)
        before = self._at(starts + place - 1, place >= 1)
        before[place == 0] = self.items
        draw = torch.Generator().manual_seed(FIXED) if draw is None else draw
        negatives = torch.randint(self.items, (len(rows), self.negatives), generator=draw)
        y = torch.from_numpy(wanted)
        return torch.cat([torch.from_numpy(before), y, negatives], dim=1), y

    def _at(self, places: IntArray, there: BoolArray) -> IntArray:
        at = np.clip(places, 0, len(self.seen.items) - 1)
        found: IntArray = np.where(there, self.seen.items[at], PAD).astype(np.int64)
        return found
