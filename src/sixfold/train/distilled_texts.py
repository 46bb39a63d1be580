"""What a pruned language model learns from the one it was cut from: of every token that is learned, the
label and that model's whole distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from sixfold.parts.language_network import token_losses
from sixfold.parts.table import IntArray
from sixfold.parts.token_windows import IGNORED
from sixfold.train.distillation import Distillation, distillation_losses
from sixfold.train.module import ExampleReader

# Distributions as they are, not softened: as in Muralidharan and others, Compact language models via
# pruning and knowledge distillation, 2024, section 4.
OF_TEXTS: Final = Distillation(temperature=1.0, weight=0.7)


@dataclass(frozen=True)
class DistilledTexts:
    """An `ExampleReader` whose targets have the inputs before the labels, [B, 4, T]: the teacher reads
    them where the loss is computed, part by part, as the scores of a whole batch are too many to hold.
    """

    examples: ExampleReader

    def __len__(self) -> int:
        return len(self.examples)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As in `ExampleReader`."""
        x, y = self.examples.read(rows, draw)
        return x, torch.cat([x, y[:, None]], dim=1)


def labels(targets: torch.Tensor) -> torch.Tensor:
    """[B, T] of the targets of `DistilledTexts`, or of those without a teacher."""
    return targets[:, -1] if targets.ndim == 3 else targets


@dataclass(frozen=True)
class TextDistillation:
    """The loss of each window, [B]; windows that are watched have no teacher, and labels alone count.

    `teacher`: float32, in evaluation.
    """

    teacher: nn.Module
    losses: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    settings: Distillation = OF_TEXTS

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`outputs`: [B, T, V] scores."""
        if targets.ndim < 3:
            return self.losses(outputs, targets)
        y = labels(targets)
        with torch.no_grad():
            goal = self.teacher.to(outputs.device)(targets[:, :-1]).to(outputs.dtype)
        hard = token_losses(outputs, y).flatten()
        each = distillation_losses(
            outputs.flatten(0, 1), goal.flatten(0, 1), hard, self.settings
        ).reshape(y.shape)
        return (each * (y != IGNORED)).sum(dim=1)
