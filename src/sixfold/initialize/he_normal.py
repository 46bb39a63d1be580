"""Normal; keeps the variance of signals through relu."""

from __future__ import annotations

import torch

from sixfold.initialize import _variance_scaling
from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ N(0, 2 / fan_in); made for relu.

    He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = 2.0 / _variance_scaling.fan(tensor, "in")
        _variance_scaling.fill_normal(tensor, generator, variance)
