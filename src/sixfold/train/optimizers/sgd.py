"""Gradient descent, with momentum where wished."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from pydantic import Field, model_validator

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.rate import LearningRate


class Settings(OptimizerSettings):
    """g ← ∇J + λθ;  v ← μv + g;  θ ← θ − α·v (Nesterov: θ ← θ − α·(g + μv)). With μ = λ = 0: θ ← θ
    − α∇J(θ).

    Polyak, 1964; Nesterov, 1983; as in Sutskever, Martens, Dahl and Hinton, 2013, without their
    scaling of v by α.
    """

    learning_rate: LearningRate = Field(
        0.01, gt=0, le=1000, description="α, above 0, at most 1000."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="μ, in [0, 1).")
    nesterov: bool = Field(
        False, description="Look ahead along the momentum, which must be above 0."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="λ: λ·θ is added to the gradient, at least 0."
    )

    @model_validator(mode="after")
    def _momentum_to_look_along(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov with a momentum above 0")
        return self

    @property
    def remembers(self) -> float:
        """The momentum."""
        return 1.0 if self.momentum else 0.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`."""
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )
