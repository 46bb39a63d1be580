"""Gradient descent that needs no schedule: an average of the path is the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._schedule_free import ScheduleFreeSGD
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """y = (1 − β)z + βx;  z ← z − α·(∇J(y) + λy);  x ← (1 − c)x + c·z, c = α² / Σα². Trained at y;
    x is the model.

    Defazio and others, The road less scheduled, 2024; their package `schedulefree`. Takes no
    schedule and no warm-up.
    """

    schedule_free: ClassVar[bool] = True

    learning_rate: LearningRate = Field(
        0.1, gt=0, le=1000, description="α, above 0, at most 1000; larger than with a schedule."
    )
    momentum: float = Field(
        0.9, gt=0, lt=1, description="β: where between z and x the gradient is taken, in (0, 1)."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="λ: λ·y is added to the gradient, at least 0."
    )

    @property
    def remembers(self) -> float:
        """The second point."""
        return 1.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Their optimizer over `parameters`: in evaluation x stands in their place, in training
        y.
        """
        return ScheduleFreeSGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
