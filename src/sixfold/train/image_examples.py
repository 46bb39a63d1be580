"""Images as the training loop reads them: by batches, augmented, with shares of the classes where
two are mixed.
"""

# Letters: B rows of a batch, C channels, H height, W width, O classes.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sixfold.parts.table import IntArray
from sixfold.train.augment import Augment, augment


class Images(Protocol):
    """Images that may lie on disk."""

    def __len__(self) -> int:
        """Images."""

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        """uint8 [B, H, W, C] of these rows (indices, or a slice)."""


@dataclass(frozen=True)
class ImageExamples:
    """An `ExampleReader`. `y`: int64 [rows] classes, of which there are `outputs`."""

    images: Images
    y: torch.Tensor
    outputs: int
    augment: Augment = field(default_factory=Augment)

    def __len__(self) -> int:
        return len(self.y)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, C, H, W], 0 to 255, and int64 [B] classes, or float32 [B, O] where images are
        mixed.
        """
        x = torch.from_numpy(np.ascontiguousarray(self.images[rows].transpose(0, 3, 1, 2)))
        y = self.y[torch.from_numpy(rows)]
        if draw is None:
            return x.to(torch.float32), y
        changed = augment(x, self.augment, draw)
        if changed.partner is None or changed.weight is None:
            return changed.images, y
        shares, own = functional.one_hot(y, self.outputs).to(torch.float32), changed.weight[:, None]
        return changed.images, own * shares + (1 - own) * shares[changed.partner]
