"""A rate of its own for every parameter, from the rows' and columns' gradients alone: little
memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings


class Settings(OptimizerSettings):
    """Of a matrix the second moment is kept as a mean a row and a mean a column: v̂ = r·cᵀ /
    mean(r), each an exponential mean with β₂ = 1 − t^(−0.8). θ ← (1 − αλ)·θ − ρ·u / max(1, RMS(u) /
    d), u = ∇J / √v̂, ρ = min(α, 1/√t)·max(ε, RMS(θ)).

    Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory cost, 2018; torch's
    own. The rate is relative to the size of the weights.
    """

    shaped: ClassVar[bool] = True  # rows and columns of each matrix

    learning_rate: float = Field(
        0.01, gt=0, le=10, description="α, above 0, at most 10; relative to the weights."
    )
    decay: float = Field(0.8, gt=0, le=1, description="β₂ = 1 − t^(−decay), in (0, 1].")
    clip: float = Field(
        1.0, ge=1, description="d: largest root mean square of an update, at least 1."
    )
    epsilon: float = Field(
        1e-3, gt=0, description="ε: least root mean square of weights that is counted, above 0."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="λ: θ is multiplied by 1 − αλ each step, at least 0."
    )

    @property
    def remembers(self) -> float:
        """Of a matrix a mean a row and a mean a column, which are few."""
        return 0.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimizer over `parameters`."""
        return torch.optim.Adafactor(
            parameters,
            lr=self.learning_rate,
            beta2_decay=-self.decay,
            eps=(None, self.epsilon),
            d=self.clip,
            weight_decay=self.weight_decay,
        )
