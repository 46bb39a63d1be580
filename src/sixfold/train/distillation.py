"""What a pruned network learns from the one it was cut from: Hinton, Vinyals and Dean, Distilling
the knowledge …, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.table import IntArray
from sixfold.train.module import ExampleReader

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Distillation:
    """`temperature` softens both; `weight`, in [0, 1]: how much the teacher counts against the
    labels. Both as in the paper's experiments with digits and speech: not tuned here.
    """

    temperature: float = 4.0
    weight: float = 0.7


def distillation_losses(
    scores: torch.Tensor, teacher: torch.Tensor, hard: torch.Tensor, settings: Distillation
) -> torch.Tensor:
    """The loss of each row, [B]: `scores` and `teacher` are [B, classes] before the softmax;
    `hard`: the losses against the labels, [B].

    The soft part is times T², so that its gradients keep their size whatever the temperature
    (section 2 of the paper).
    """
    soft = functional.log_softmax(scores / settings.temperature, dim=1)
    goal = functional.log_softmax(teacher / settings.temperature, dim=1)
    apart = functional.kl_div(soft, goal, reduction="none", log_target=True).sum(dim=1)
    return settings.weight * settings.temperature**2 * apart + (1 - settings.weight) * hard


@dataclass(frozen=True)
class DistilledExamples:
    """An `ExampleReader` whose targets are those of `examples` and, behind them, what the `teacher`
    (in evaluation, on the processor) says of the same inputs: [B, 2, classes].
    """

    examples: ExampleReader
    teacher: nn.Module

    def __len__(self) -> int:
        return len(self.examples)

    def read(
        self, rows: IntArray, draw: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs, and shares of the classes with the teacher's scores."""
        x, y = self.examples.read(rows, draw)
        with torch.no_grad():
            scores = self.teacher(x)
        shares = functional.one_hot(y, scores.shape[1]) if y.dtype == torch.int64 else y
        return x, torch.stack([shares.to(scores.dtype), scores], dim=1)


@dataclass(frozen=True)
class DistilledLosses:
    """`losses` against the labels, and the teacher's part; rows that are watched have no teacher,
    and labels alone count.
    """

    losses: Losses
    settings: Distillation = Distillation()

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[B]."""
        if targets.ndim < 3:
            return self.losses(outputs, targets)
        hard = self.losses(outputs, targets[:, 0])
        return distillation_losses(outputs, targets[:, 1], hard, self.settings)
