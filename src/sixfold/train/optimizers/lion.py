"""The sign of a mixed momentum: every weight moves by the same amount."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._lion import Lion
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """c = β₁m + (1 − β₁)∇J;  θ ← θ − α·(sign(c) + λθ);  m ← β₂m + (1 − β₂)∇J.

    Chen and others, Symbolic discovery of optimization algorithms, 2023. Their advice: a rate 3 to
    10 times below Adam's.
    """

    # Every step moves every weight by α, however small the gradient: the few steps of a range test
    # find too large a rate.
    rate_of: ClassVar[tuple[str, float] | None] = ("adamw", 0.1)

    learning_rate: LearningRate = Field(0.0003, gt=0, le=10, description="α, above 0, at most 10.")
    beta1: float = Field(
        0.9, ge=0, lt=1, description="Share of the momentum in the step, in [0, 1)."
    )
    beta2: float = Field(0.99, ge=0, lt=1, description="Memory of the gradient's mean, in [0, 1).")
    weight_decay: float = Field(
        0.0, ge=0, description="λ: θ is multiplied by 1 − αλ each step, at least 0."
    )

    @property
    def remembers(self) -> float:
        """The momentum."""
        return 1.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Over `parameters`."""
        return Lion(parameters, self.learning_rate, self.beta1, self.beta2, self.weight_decay)
