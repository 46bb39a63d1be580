"""Preferences and teachers: the formulas, TRL's published one, and what they do to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from sixfold.parts.language_network import token_losses
from sixfold.parts.token_windows import IGNORED
from sixfold.train.distillation import Distillation
from sixfold.train.distilled_texts import TextDistillation
from sixfold.train.token_objectives import PairNetwork, preference_losses, sequence_scores


def scores_and_targets() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    y = torch.randint(0, 7, (3, 5))
    y[0, :2], y[2, 3:] = IGNORED, IGNORED
    return torch.randn(3, 5, 7), y


def test_the_score_of_an_answer_is_the_sum_of_its_tokens() -> None:
    scores, y = scores_and_targets()
    logs = scores.log_softmax(-1)
    expected = [sum(logs[b, t, y[b, t]] for t in range(5) if y[b, t] >= 0) for b in range(3)]
    torch.testing.assert_close(sequence_scores(scores, y), torch.stack(expected))  # type: ignore[arg-type]


def trl_sigmoid(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """`DPOTrainer.dpo_loss` of TRL, loss_type "sigmoid", label_smoothing 0, as it is published:

    pi_logratios = policy_chosen_logps - policy_rejected_logps
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    logits = pi_logratios - ref_logratios
    losses = -F.logsigmoid(beta * logits) * (1 - label_smoothing) - F.logsigmoid(-beta * logits) * label_smoothing
    """
    logits = (policy[:, 0] - policy[:, 1]) - (reference[:, 0] - reference[:, 1])
    return (
        -functional.logsigmoid(beta * logits) * (1 - 0.0)
        - functional.logsigmoid(-beta * logits) * 0.0
    )


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo_is_its_formula_and_that_of_trl(beta: float) -> None:
    policy = torch.tensor([[-3.0, -5.0], [-50.0, -1.0], [-2.0, -2.0]], requires_grad=True)
    reference = torch.tensor([[-4.0, -4.5], [-1.0, -40.0], [-2.0, -2.0]])
    found = preference_losses(policy, reference, beta)
    plain = [
        -np.log(1 / (1 + np.exp(-beta * ((p[0] - r[0]) - (p[1] - r[1])))))
        for p, r in zip(policy.tolist(), reference.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.detach(), plain, rtol=1e-6)
    torch.testing.assert_close(found, trl_sigmoid(policy, reference, beta))
    assert found[2].item() == pytest.approx(np.log(2))
    found.sum().backward()  # type: ignore[no-untyped-call]
    weight = torch.sigmoid(-beta * ((policy - reference) @ torch.tensor([1.0, -1.0])))
    expected = -beta * weight[:, None] * torch.tensor([1.0, -1.0])  # equation 8
    torch.testing.assert_close(policy.grad, expected.detach())


def test_a_teacher_counts_by_its_distance_and_the_token_by_its_loss() -> None:
    scores, y = scores_and_targets()
    said = torch.randn(3, 5, 7)
    x = torch.zeros(3, 3, 5, dtype=torch.int64)
    settings = Distillation(temperature=3.0, weight=0.25)

    def hard(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return token_losses(outputs, targets).sum(dim=1)

    losses = TextDistillation(Answers(said), hard, settings)
    found = losses(scores, torch.cat([x, y[:, None]], dim=1))
    goal, own = (said / 3).softmax(-1), (scores / 3).softmax(-1)
    apart = (goal * (goal / own).log()).sum(-1)
    plain = token_losses(scores, y)
    expected = torch.where(y == IGNORED, 0.0, 0.25 * 9 * apart + 0.75 * plain).sum(dim=1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(losses(scores, y), plain.sum(dim=1))  # watched: labels alone


class Answers(torch.nn.Module):
    """A teacher that says the same to all."""

    def __init__(self, said: torch.Tensor) -> None:
        super().__init__()
        self.said = said

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.said


class Bigrams(torch.nn.Module):
    """Scores of the next token by the one before: x [B, 3, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(7, 7)

    def forward(self, x: torch.Tensor) -> Any:
        return self.table(x[:, 0])


def test_both_answers_are_scored_as_each_alone() -> None:
    torch.manual_seed(0)
    network = Bigrams()
    x = torch.randint(0, 7, (4, 2, 4, 6))
    x[:, :, 3, :2] = IGNORED
    found = PairNetwork(network)(x)
    for row in range(4):
        for side in range(2):
            alone = sequence_scores(network(x[row, side, :3][None]), x[row, side, 3][None])
            torch.testing.assert_close(found[row, side], alone[0])


def test_a_model_learns_what_is_preferred() -> None:
    torch.manual_seed(0)
    network = PairNetwork(Bigrams())
    x = torch.randint(0, 7, (16, 2, 4, 6), generator=torch.Generator().manual_seed(1))
    reference = network(x).detach()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(40):
        loss = preference_losses(network(x), reference).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    gained = network(x) - reference
    assert loss < 0.4
    assert (gained[:, 0] > gained[:, 1]).float().mean() > 0.9
