"""Momentum whose matrices are made orthogonal: every direction of a layer moves by as much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

import torch
from pydantic import Field

from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._pair import Pair
from sixfold.train.optimizers._stacked_muon import StackedMuon
from sixfold.train.rate import LearningRate

BETA1: Final = 0.9  # AdamW's


class Settings(OptimizerSettings):
    """Of a matrix: m ← μm + (1 − μ)∇J;  θ ← (1 − αλ)·θ − ρ·√max(rows, columns)·α·O, where O ≈ UVᵀ
    of the SVD of (1 − μ)∇J + μm (Nesterov), by five Newton–Schulz iterations X ← aX + (bXXᵀ +
    c(XXᵀ)²)X, in bfloat16 where a device multiplies it itself. The rest (biases, tables of tokens, what
    has other than two axes): AdamW with the same rate.

    Jordan, Muon, 2024; the factor ρ·√max with ρ = 0.2: Liu and others, Muon is scalable for LLM training,
    2025, so that AdamW's rates fit. Matrices of one shape are stepped as one stack. Its extra work
    is about 5·width / batch of a step's: not for wide layers and small batches.
    """

    shaped: ClassVar[bool] = True
    # A step is as long however small the gradient: the few steps of a range test find too large a
    # rate. AdamW's fits, as above; twice of it was better than 1, 4 or 8 times on 7 networks.
    rate_of: ClassVar[tuple[str, float] | None] = ("adamw", 2.0)

    learning_rate: LearningRate = Field(0.001, gt=0, le=10, description="α, above 0, at most 10.")
    momentum: float = Field(0.95, ge=0, lt=1, description="μ, in [0, 1).")
    nesterov: bool = Field(True, description="Look ahead along the momentum.")
    weight_decay: float = Field(
        0.01, ge=0, description="λ: θ is multiplied by 1 − αλ each step, at least 0."
    )
    rms: float = Field(
        0.2, gt=0, description="ρ, of the numbers of a matrix's step at a rate of 1, above 0."
    )
    iterations: int = Field(5, ge=1, le=20, description="Newton–Schulz iterations, 1 to 20.")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's, of what is no matrix, in [0, 1).")

    @property
    def remembers(self) -> float:
        """The momentum; of vectors, which are few, two means."""
        return 1.0

    def make(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Muon over the matrices, torch's AdamW over the rest."""
        every = list(parameters)
        matrices, rest = (
            [one for one in every if one.ndim == 2],
            [one for one in every if one.ndim != 2],
        )
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            muon = StackedMuon(
                matrices,
                self.rms,
                lr=self.learning_rate,
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                nesterov=self.nesterov,
                ns_steps=self.iterations,
            )
            parts.append(muon)
        if rest:
            adamw = torch.optim.AdamW(
                rest,
                lr=self.learning_rate,
                betas=(BETA1, self.beta2),
                weight_decay=self.weight_decay,
                fused=True,
            )
            parts.append(adamw)
        return Pair(parts)
