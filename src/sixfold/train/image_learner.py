"""What the training loop steps when the examples are images: one network, augmented batches, momentum, perhaps a teacher."""

# Letters: B rows of a batch, C channels, H height, W width, O outputs.
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sixfold.parts.table import FloatArray, IntArray
from sixfold.train.augment import Augment, AugmentedImages, ExampleSeed, augment, mixed_loss
from sixfold.train.distillation import Distillation, distillation_losses

MOMENTUM: Final = 0.9
Scaled = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ImageBatch:
    """`images`: uint8 [B, H, W, C], as cached; `y`: int64 [B] classes or float64 [B]; `examples`: int64 [B], the number of each
    in the data, which with the epoch says how it is augmented.
    """

    images: npt.NDArray[np.uint8]
    y: IntArray | FloatArray
    examples: IntArray
    epoch: int = 0

    def channels_first(self) -> torch.Tensor:
        """uint8 [B, C, H, W]."""
        return torch.from_numpy(np.ascontiguousarray(self.images.transpose(0, 3, 1, 2)))

    def targets(self) -> torch.Tensor:
        """int64 [B], or float32 [B]."""
        y = torch.from_numpy(np.asarray(self.y))
        return y if y.dtype == torch.int64 else y.to(torch.float32)


@dataclass(frozen=True)
class ImageTraining:
    """How an image network is trained. `scaled`: bytes → what the network takes; `rate`: the learning rate of step 0, 1, …;
    `teacher`: the network that a pruned one is distilled from, or None.
    """

    scaled: Scaled
    rate: Callable[[int], float]
    seed: int = 0
    weight_decay: float = 5e-4
    augment: Augment = field(default_factory=Augment)
    teacher: nn.Module | None = None
    distillation: Distillation = field(default_factory=Distillation)


class ImageLearner:
    """A network and its optimizer: SGD with Nesterov's momentum, whose update torch does in one pass over each tensor."""

    def __init__(self, module: nn.Module, training: ImageTraining) -> None:
        self.module: nn.Module = cast(Any, module).to(memory_format=torch.channels_last)
        self.training = training
        self.steps = 0
        self.optimizer = torch.optim.SGD(
            module.parameters(),
            lr=training.rate(0),
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=training.weight_decay,
            fused=True,
        )

    def step(self, batch: ImageBatch) -> torch.Tensor:
        """θ ← θ − rate · (∇ mean loss, with momentum); the losses before it, [B]."""
        seed = ExampleSeed(self.training.seed, batch.epoch, batch.examples)
        augmented = augment(batch.channels_first(), self.training.augment, seed)
        with torch.enable_grad():
            losses = self._losses(augmented, batch.targets())
            self.optimizer.zero_grad()
            torch.autograd.backward(losses.mean())
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(self.steps)
        self.optimizer.step()
        self.steps += 1
        return losses.detach()

    def evaluate(self, batches: Iterable[ImageBatch]) -> torch.Tensor:
        """The loss of every row against its label, not augmented, [rows]."""
        self.module.eval()
        found = []
        with torch.no_grad():
            for batch in batches:
                scores = self.module(self.training.scaled(batch.channels_first().to(torch.float32)))
                found.append(_plain_losses(scores, batch.targets()))
        return torch.cat(found)

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """Everything that the next step depends on: weights, statistics, momentum, how many steps were done."""
        found = {f"module.{name}": value.clone() for name, value in self.module.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            found[f"momentum.{number}"] = state["momentum_buffer"].clone()
        return found | {"steps": torch.tensor(self.steps)}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue where `state_dict` was taken."""
        prefix = "module."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        self.module.load_state_dict(own)
        held = self.optimizer.state_dict()
        momenta: dict[int, dict[str, Any]] = {
            int(name.partition(".")[2]): {"momentum_buffer": value.clone()}
            for name, value in state.items()
            if name.startswith("momentum.")
        }
        self.optimizer.load_state_dict({**held, "state": momenta})
        self.steps = int(state["steps"])

    def _losses(self, augmented: AugmentedImages, y: torch.Tensor) -> torch.Tensor:
        images = self.training.scaled(augmented.images)
        scores = self.module.train()(images)
        losses = _plain_losses(scores, y)
        if augmented.partner is not None:
            losses = mixed_loss(losses, _plain_losses(scores, y[augmented.partner]), augmented)
        if self.training.teacher is None:
            return losses
        with torch.no_grad():
            goal = self.training.teacher.eval()(images)
        return distillation_losses(scores, goal, losses, self.training.distillation)


def _plain_losses(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of classes, squared error of values: [B]."""
    if y.dtype == torch.int64:
        return functional.cross_entropy(scores, y, reduction="none")
    return ((scores - y.reshape(scores.shape)) ** 2).mean(1)
