"""Rows (or columns) that are orthonormal: signals keep their length."""

from __future__ import annotations

import torch
from pydantic import Field

from sixfold.initialize import _variance_scaling
from sixfold.recipe.section import Section


class Settings(Section):
    """θ = gain·Q, Q from the QR decomposition of a normal matrix, its signs made unique: θθᵀ = gain²·I (or θᵀθ, if
    there are more outputs than inputs).

    Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning, 2014.
    """

    gain: float = Field(1.0, gt=0, description="Length of the rows (or columns), above 0; 1.41 for relu.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        _variance_scaling.fan(tensor, "in")  # refuses vectors
        torch.nn.init.orthogonal_(tensor, self.gain, generator=generator)
