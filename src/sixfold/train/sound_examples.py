"""Recordings as the training loop reads them: by batches, augmented, as spectrograms."""

# Letters: B rows of a batch, M bands, T frames.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from sixfold.parts.table import IntArray
from sixfold.train.sound_augment import DRAWS, SoundAugment, changed_samples, masked


class MakesSpectrograms(Protocol):
    """Of recordings at `rate` Hz."""

    @property
    def rate(self) -> int:
        """Samples a second."""

    def spectrograms(self, samples_BL: torch.Tensor) -> torch.Tensor:
        """float32 [B, L], whole numbers of 16 bits or between them → float32 [B, M, T]."""


@dataclass(frozen=True)
class SoundExamples:
    """An `ExampleReader`. `samples`: [rows, samples], in memory or read when asked for; `y`: int64
    [rows] classes.
    """

    samples: Any
    y: torch.Tensor
    mel: MakesSpectrograms
    augment: SoundAugment = field(default_factory=SoundAugment)

    def __len__(self) -> int:
        return len(self.y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, 1, M, T] and int64 [B] classes."""
        samples = torch.from_numpy(np.asarray(self.samples[rows]).astype(np.float32))
        y = self.y[torch.from_numpy(rows)]
        if draw is None:
            return self.mel.spectrograms(samples)[:, None], y
        draws = torch.rand((len(samples), DRAWS), generator=draw, dtype=torch.float64)
        changed = changed_samples(samples, self.augment, self.mel.rate, draws, draw)
        return masked(self.mel.spectrograms(changed), self.augment, draws)[:, None], y
