"""Uniform; keeps the variance of signals and of gradients alike."""

from __future__ import annotations

import torch
from pydantic import Field

from sixfold.initialize import _variance_scaling
from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ U(−a, a) with a = gain·√(6 / (fan_in + fan_out)); made for tanh.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """

    gain: float = Field(1.0, gt=0, description="Factor on the spread, above 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = self.gain**2 / _variance_scaling.fan(tensor, "mean")
        _variance_scaling.fill_uniform(tensor, generator, variance)
