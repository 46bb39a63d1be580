"""What a language model minimizes besides the losses of the next tokens: a preference between answers,
and the distance from a teacher.

Shape letters: B examples, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.token_windows import IGNORED
from sixfold.train.distillation import Distillation

PAIR: Final = 2  # answers: the chosen one, the rejected one
# Rafailov and others, section 6, has 0.1 for dialogue and 0.5 for summaries.
BETA: Final = 0.1
# Of a language model's tokens: softened as in Sanh and others, DistilBERT, 2019; the half is guessed.
DISTILLED: Final = Distillation(temperature=2.0, weight=0.5)


def sequence_scores(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """ln of the probability of all that is learned of each example, [B]: the sum over its tokens.
    `scores`: [B, T, V]; `y`: int64 [B, T], IGNORED where nothing is learned.
    """
    losses = functional.cross_entropy(
        scores.flatten(0, 1).float(), y.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.reshape(y.shape).sum(dim=1)


def preference_losses(
    policy: torch.Tensor, reference: torch.Tensor, beta: float = BETA
) -> torch.Tensor:
    """DPO, [B]: −ln σ(β·((ln π(chosen) − ln π₀(chosen)) − (ln π(rejected) − ln π₀(rejected)))).

    `policy`, `reference`: [B, 2] `sequence_scores` of the chosen and the rejected answer, by the model
    that learns and by the one that it started as. Rafailov and others, Direct preference
    optimization, 2023, equation 7; as `DPOTrainer` of TRL with loss_type sigmoid.
    """
    gained = policy - reference
    return -functional.logsigmoid(beta * (gained[:, 0] - gained[:, 1]))


def distilled_token_losses(
    scores: torch.Tensor, teacher: torch.Tensor, y: torch.Tensor, settings: Distillation = DISTILLED
) -> torch.Tensor:
    """[B, T], 0 where nothing is learned: weight · t² · KL(teacher ‖ student), both at temperature t,
    and the rest of the weight on the loss of the token itself. `scores`, `teacher`: [B, T, V].

    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, token by token.
    """
    kept = y != IGNORED
    hard = functional.cross_entropy(scores[kept].float(), y[kept], reduction="none")
    soft = functional.log_softmax(scores[kept].float() / settings.temperature, dim=1)
    goal = functional.log_softmax(teacher[kept].float() / settings.temperature, dim=1)
    apart = functional.kl_div(soft, goal, reduction="none", log_target=True).sum(dim=1)
    found = settings.weight * settings.temperature**2 * apart + (1 - settings.weight) * hard
    return torch.zeros(y.shape, dtype=found.dtype, device=y.device).masked_scatter(kept, found)


class PairNetwork(nn.Module):
    """A language model that scores two answers to a prompt. Its input holds the targets, too, so that
    the scores of all tokens need not leave it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """int64 [B, 2, 4, T]: of both answers the three rows that the network reads, and the targets →
        `sequence_scores`, [B, 2].
        """
        both = x.flatten(0, 1)
        found = sequence_scores(self.network(both[:, :-1]), both[:, -1])
        return found.reshape(-1, PAIR)


class TaughtNetwork(nn.Module):
    """A language model beside its teacher, which is not learned."""

    def __init__(self, network: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.network, self.teacher = network, teacher.requires_grad_(False)

    def train(self, mode: bool = True) -> TaughtNetwork:
        """The teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the network reads → scores of both, [B, 2, T, V]."""
        with torch.no_grad():
            said = self.teacher(x)
        return torch.stack([self.network(x), said], dim=1)
