"""What a language model minimizes besides the losses of the next tokens: preferences between answers.

Shape letters: B examples, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.token_windows import IGNORED

PAIR: Final = 2  # answers: the chosen one, the rejected one
# Rafailov and others, section 6, has 0.1 for dialogue and 0.5 for summaries.
BETA: Final = 0.1


def sequence_scores(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """ln of the probability of all that is learned of each example, [B] or [B, 2]: the sum over its
    tokens. `y`: int64 [B, T] or [B, 2, T], IGNORED where nothing is learned; `scores`: [B or 2 B, T, V].
    """
    losses = functional.cross_entropy(
        scores.flatten(0, 1).float(), y.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.reshape(y.shape).sum(dim=-1)


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
        return sequence_scores(
            self.network(both[:, :-1]), x[:, :, -1]
        )  # no view: FSDP2 hooks on it
