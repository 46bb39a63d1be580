"""What a pruned network learns from the one it was cut from: Hinton, Vinyals and Dean, Distilling the knowledge …, 2015."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Distillation:
    """`temperature` softens both; `weight`, in [0, 1]: how much the teacher counts against the labels. Both as in the paper's
    experiments with digits and speech: not tuned here.
    """

    temperature: float = 4.0
    weight: float = 0.7


def distillation_losses(
    scores: torch.Tensor, teacher: torch.Tensor, hard: torch.Tensor, settings: Distillation
) -> torch.Tensor:
    """The loss of each row, [B]: `scores` and `teacher` are [B, classes] before the softmax; `hard`: the
    losses against the labels, [B].

    The soft part is times T², so that its gradients keep their size whatever the temperature (section 2 of the paper).
    """
    soft = functional.log_softmax(scores / settings.temperature, dim=1)
    goal = functional.log_softmax(teacher / settings.temperature, dim=1)
    apart = functional.kl_div(soft, goal, reduction="none", log_target=True).sum(dim=1)
    return settings.weight * settings.temperature**2 * apart + (1 - settings.weight) * hard
