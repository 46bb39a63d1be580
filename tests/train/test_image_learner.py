"""The learner of images: a step is that of torch's own loop, exact resume, mixing and distillation by their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sixfold.train.augment import Augment
from sixfold.train.distillation import Distillation, distillation_losses
from sixfold.train.image_learner import ImageBatch, ImageLearner, ImageTraining

PLAIN = Augment(shift=0)


def small(seed: int = 0, outputs: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, outputs)
    )


def batch(number: int = 0, values: bool = False, epoch: int = 0) -> ImageBatch:
    random = np.random.default_rng(number)
    y: Any = random.normal(size=16) if values else random.integers(0, 3, 16)
    images = random.integers(0, 256, (16, 6, 6, 1), dtype=np.uint8)
    return ImageBatch(images, y, np.arange(16 * number, 16 * number + 16), epoch)


def scaled(images: torch.Tensor) -> torch.Tensor:
    return (images - 128) / 64


def training(**more: Any) -> ImageTraining:
    return ImageTraining(**({"scaled": scaled, "rate": lambda step: 0.05 / (1 + step), "augment": PLAIN} | more))


def test_steps_are_those_of_a_plain_loop() -> None:
    learner, module = ImageLearner(small(), training()), small()
    optimizer = torch.optim.SGD(module.parameters(), lr=1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for number in range(4):
        x = scaled(torch.from_numpy(batch(number).images.transpose(0, 3, 1, 2)).float())
        loss = functional.cross_entropy(module(x), torch.from_numpy(batch(number).y), reduction="none")
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.param_groups[0]["lr"] = 0.05 / (1 + number)
        optimizer.step()
        assert torch.allclose(learner.step(batch(number)), loss.detach(), atol=1e-5)
    for name, value in module.state_dict().items():
        assert torch.allclose(learner.module.state_dict()[name], value, atol=1e-5), name


@pytest.mark.parametrize("settings", [Augment(), Augment(shift=0.2, flip=True, cutout=0.3, mixup=0.2, cutmix=1)])
def test_a_learner_that_continues_ends_with_the_same_bits(settings: Augment) -> None:
    through = ImageLearner(small(), training(augment=settings))
    for number in range(6):
        through.step(batch(number, epoch=number // 3))
    broken = ImageLearner(small(), training(augment=settings))
    for number in range(4):
        broken.step(batch(number, epoch=number // 3))
    state = {name: value.clone() for name, value in broken.state_dict().items()}
    again = ImageLearner(small(seed=9), training(augment=settings))
    again.load_state_dict(state)
    for number in range(4, 6):
        again.step(batch(number, epoch=number // 3))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in through.state_dict().items())
    assert through.state_dict().keys() == again.state_dict().keys()


def test_evaluation_changes_nothing_and_does_not_augment() -> None:
    learner = ImageLearner(small(), training(augment=Augment(shift=0.3)))
    learner.step(batch())
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    losses = learner.evaluate([batch(1), batch(2)])
    x = scaled(torch.from_numpy(batch(1).images.transpose(0, 3, 1, 2)).float())
    wanted = functional.cross_entropy(learner.module.eval()(x), torch.from_numpy(batch(1).y), reduction="none")
    assert losses.shape == (32,)
    assert torch.allclose(losses[:16], wanted, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_values_are_learned_by_squared_error() -> None:
    learner = ImageLearner(small(outputs=1), training())
    first = learner.step(batch(values=True)).mean()
    for _ in range(30):
        last = learner.step(batch(values=True)).mean()
    assert last < 0.5 * first


def test_a_pruned_network_learns_from_its_teacher() -> None:
    teacher = small(seed=5).eval()
    learner = ImageLearner(small(), training(teacher=teacher, distillation=Distillation(temperature=2, weight=1.0)))
    before = learner.step(batch()).mean()
    for _ in range(40):
        after = learner.step(batch()).mean()
    assert after < 0.5 * before
    assert all(value.grad is None for value in teacher.parameters())


def test_the_loss_of_distillation_is_that_of_the_paper() -> None:
    scores, teacher = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    hard = torch.rand(4, dtype=torch.float64)
    found = distillation_losses(scores, teacher, hard, Distillation(temperature=3, weight=0.6))
    p, q = (teacher / 3).softmax(1).numpy(), (scores / 3).softmax(1).numpy()
    wanted = 0.6 * 9 * (p * np.log(p / q)).sum(1) + 0.4 * hard.numpy()
    assert np.allclose(found.numpy(), wanted)
