"""Adam with weight decay that does not pass through the moments."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._quick import QuickAdam
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """θ ← θ − αλθ, then Adam's step on ∇J alone: m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  θ ← θ
    − α·m̂ / (√v̂ + ε).

    Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """

    learning_rate: LearningRate = Field(0.001, gt=0, le=10, description="α, above 0, at most 10.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Memory of the gradient's mean, in [0, 1).")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="Memory of the gradient's square, in [0, 1)."
    )
    epsilon: float = Field(1e-8, gt=0, description="Added to the root, above 0.")
    weight_decay: float = Field(
        0.01, ge=0, description="λ: θ is multiplied by 1 − αλ each step, at least 0."
    )

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`."""
        return QuickAdam(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            fused=True,
            decoupled_weight_decay=True,
        )
