"""Images as the loop reads them: mixing by its formula, a step as in a plain loop of torch,
distillation as in the paper.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fitting import image_fit
from sixfold.train.augment import Augment, augment
from sixfold.train.distillation import Distillation, distillation_losses
from sixfold.train.image_examples import ImageExamples
from sixfold.train.losses import row_losses
from sixfold.train.module import ModuleLearner, RowBatch

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, 6, 6, 1), dtype=np.uint8)
Y = RANDOM.integers(0, 3, 64)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    )


def draw(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_images_come_as_they_are_where_nothing_is_drawn() -> None:
    examples = ImageExamples(IMAGES, torch.from_numpy(Y), 3, Augment(shift=0.3, mixup=0.5))
    x, y = examples.read(np.array([7, 2]), None)
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x.numpy(), IMAGES[[7, 2]].transpose(0, 3, 1, 2))
    assert y.tolist() == Y[[7, 2]].tolist()
    assert len(examples) == 64


def test_a_batch_is_augmented_by_its_generator() -> None:
    examples, rows = (
        ImageExamples(IMAGES, torch.from_numpy(Y), 3, Augment(shift=0.3)),
        np.arange(20),
    )
    x, y = examples.read(rows, draw())
    wanted = augment(
        torch.from_numpy(IMAGES[:20].transpose(0, 3, 1, 2).copy()), Augment(shift=0.3), draw()
    )
    assert torch.equal(x, wanted.images)
    assert torch.equal(x, examples.read(rows, draw())[0])
    assert not torch.equal(x, examples.read(rows, draw(6))[0])
    assert y.dtype == torch.int64


def test_the_loss_of_mixed_images_weighs_the_losses_of_both_labels() -> None:
    settings = Augment(shift=0, mixup=0.4)
    _, shares = ImageExamples(IMAGES, torch.from_numpy(Y), 3, settings).read(np.arange(16), draw())
    mixed = augment(torch.from_numpy(IMAGES[:16].transpose(0, 3, 1, 2).copy()), settings, draw())
    assert mixed.partner is not None and mixed.weight is not None
    scores, y = torch.randn(16, 3), torch.from_numpy(Y[:16])
    own, other = (
        functional.cross_entropy(scores, each, reduction="none") for each in (y, y[mixed.partner])
    )
    wanted = mixed.weight * own + (1 - mixed.weight) * other
    assert torch.allclose(row_losses(scores, shares), wanted, atol=1e-6)
    assert torch.allclose(shares.sum(1), torch.ones(16))


def test_values_are_compared_by_their_squares() -> None:
    assert row_losses(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])).tolist() == [1.0, 4.0]


def test_steps_are_those_of_a_plain_loop() -> None:
    learner, module = ModuleLearner(image_fit(small(), IMAGES, Y, batch_size=16, epochs=2)), small()
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    for number in range(4):
        rows = np.arange(16 * number, 16 * number + 16)
        batch = RowBatch(rows, number)
        learner.set_rate(batch)
        found = learner.backward(batch)
        learner.step(batch)
        x = torch.from_numpy(IMAGES[rows].transpose(0, 3, 1, 2).copy()).float()
        loss = functional.cross_entropy(module(x), torch.from_numpy(Y[rows]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert torch.allclose(found[0], loss.detach(), rtol=1e-4)
    for name, value in module.state_dict().items():
        assert torch.allclose(learner.module.state_dict()[name], value, rtol=1e-3, atol=1e-4), name


def test_the_loss_of_distillation_is_that_of_the_paper() -> None:
    scores, teacher = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    hard = torch.rand(4, dtype=torch.float64)
    found = distillation_losses(scores, teacher, hard, Distillation(temperature=3, weight=0.6))
    p, q = (teacher / 3).softmax(1).numpy(), (scores / 3).softmax(1).numpy()
    wanted = 0.6 * 9 * (p * np.log(p / q)).sum(1) + 0.4 * hard.numpy()
    assert np.allclose(found.numpy(), wanted)
