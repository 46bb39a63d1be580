"""A rate of its own for every parameter, by the recent size of its gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """g ← ∇J + λθ;  s ← ρs + (1 − ρ)g²;  v ← μv + g / (√s + ε);  θ ← θ − α·v.

    Tieleman and Hinton, Lecture 6.5 of Neural networks for machine learning, 2012.
    """

    learning_rate: LearningRate = Field(0.001, gt=0, le=10, description="α, above 0, at most 10.")
    decay: float = Field(
        0.99, ge=0, lt=1, description="ρ: memory of the gradient's square, in [0, 1)."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="μ, in [0, 1).")
    weight_decay: float = Field(
        0.0, ge=0, description="λ: λ·θ is added to the gradient, at least 0."
    )
    epsilon: float = Field(1e-8, gt=0, description="ε, above 0.")

    @property
    def remembers(self) -> float:
        """The mean of squares, and the momentum."""
        return 1.0 if self.momentum == 0 else 2.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`."""
        return torch.optim.RMSprop(
            parameters,
            lr=self.learning_rate,
            alpha=self.decay,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            eps=self.epsilon,
        )
