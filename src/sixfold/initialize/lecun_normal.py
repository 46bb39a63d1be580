"""Normal; keeps the variance of signals through units that are nearly linear."""

from __future__ import annotations

import torch

from sixfold.initialize import _variance_scaling
from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ N(0, 1 / fan_in); made for tanh and for self-normalising units.

    LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = 1.0 / _variance_scaling.fan(tensor, "in")
        _variance_scaling.fill_normal(tensor, generator, variance)
