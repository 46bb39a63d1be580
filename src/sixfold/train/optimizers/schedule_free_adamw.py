"""AdamW that needs no schedule: an average of the path is the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._schedule_free import ScheduleFreeAdamW
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """y = (1 − β₁)z + β₁x;  v ← β₂v + (1 − β₂)g², g = ∇J(y);  z ← z − α·(g / (√v̂ + ε) + λy);  x ←
    (1 − c)x + c·z, c = α² / Σα². Trained at y; x is the model.

    Defazio and others, The road less scheduled, 2024; their package `schedulefree`. Takes no
    schedule and no warm-up.
    """

    schedule_free: ClassVar[bool] = True

    learning_rate: LearningRate = Field(0.0025, gt=0, le=10, description="α, above 0, at most 10.")
    beta1: float = Field(
        0.9, gt=0, lt=1, description="β₁: where between z and x the gradient is taken, in (0, 1)."
    )
    beta2: float = Field(
        0.999, ge=0, lt=1, description="Memory of the gradient's square, in [0, 1)."
    )
    epsilon: float = Field(1e-8, gt=0, description="Added to the root, above 0.")
    weight_decay: float = Field(0.0, ge=0, description="λ: λ·y is added to the step, at least 0.")

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Their optimizer over `parameters`: in evaluation x stands in their place, in training
        y.
        """
        return ScheduleFreeAdamW(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
        )
