"""A rate of its own for every parameter, which only falls."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """g ← ∇J + λθ;  s ← s + g²;  θ ← θ − α·g / (√s + ε).

    Duchi, Hazan and Singer, Adaptive subgradient methods, 2011.
    """

    learning_rate: LearningRate = Field(0.01, gt=0, le=10, description="α, above 0, at most 10.")
    weight_decay: float = Field(
        0.0, ge=0, description="λ: λ·θ is added to the gradient, at least 0."
    )
    epsilon: float = Field(1e-10, gt=0, description="ε, above 0.")

    @property
    def remembers(self) -> float:
        """The sum of squares."""
        return 1.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`; its fused kernel is a processor's alone."""
        every = list(parameters)
        return torch.optim.Adagrad(
            every,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            fused=all(one.device.type == "cpu" for one in every),
        )
