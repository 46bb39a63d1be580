"""Distillation of texts: of every token that is learned, the label and the teacher's distribution."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sixfold.build.language import Settings
from sixfold.parts.language_network import token_losses
from sixfold.parts.token_windows import IGNORED, PackedTexts
from sixfold.train.distillation import Distillation
from sixfold.train.distilled_texts import DistilledTexts, TextDistillation, labels
from tiny_decoders import decoder, windows
from tiny_language import sentences, stored, tokenizer

FAMILY = Settings()


def summed(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return token_losses(outputs, targets).sum(dim=1)


def targets_of(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return torch.cat([batch[0], batch[1][:, None]], dim=1)


def test_targets_have_the_inputs_before_the_labels() -> None:
    texts = PackedTexts(stored(sentences(9), tokenizer()), 16)
    x, targets = DistilledTexts(texts).read(torch.arange(3).numpy(), None)
    plain, y = texts.read(torch.arange(3).numpy(), None)
    assert len(DistilledTexts(texts)) == len(texts)
    assert torch.equal(x, plain)
    assert torch.equal(targets[:, :3], plain)
    assert torch.equal(labels(targets), y)
    assert torch.equal(labels(y), y)
    assert FAMILY.counted(targets) == FAMILY.counted(y)


@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
def test_the_loss_is_the_formula(weight: float) -> None:
    batch, teacher = windows(3), decoder().network()
    outputs = torch.randn(*batch.y.shape, 260, generator=torch.Generator().manual_seed(0))
    settings = Distillation(temperature=2.0, weight=weight)
    found = TextDistillation(teacher, summed, settings)(outputs, targets_of(batch))
    with torch.no_grad():
        goal = functional.softmax(teacher(batch.x) / 2, dim=-1)
    soft = (goal * (goal.log() - functional.log_softmax(outputs / 2, dim=-1))).sum(dim=-1)
    hard = token_losses(outputs, batch.y)
    each = weight * 4 * soft + (1 - weight) * hard
    expected = (each * (batch.y != IGNORED)).sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_teacher_itself_has_nothing_to_learn_but_labels() -> None:
    batch, teacher = windows(3), decoder().network()
    with torch.no_grad():
        outputs = teacher(batch.x)
    loss = TextDistillation(teacher, summed, Distillation(1.0, 1.0))(outputs, targets_of(batch))
    assert float(loss.abs().max()) < 1e-4


def test_windows_that_are_watched_have_labels_alone() -> None:
    batch, teacher = windows(3), decoder().network()
    with torch.no_grad():
        outputs = teacher(batch.x)
    loss = TextDistillation(teacher, summed)(outputs, batch.y)
    assert torch.equal(loss, summed(outputs, batch.y))
