"""Normal, without the values beyond two spreads."""

from __future__ import annotations

import torch
from pydantic import Field

from sixfold.initialize import _variance_scaling
from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ N(mean, std²), drawn again where it is beyond mean ± 2·std (so the spread that results is 0.88·std)."""

    mean: float = Field(0.0, description="Mean; any number.")
    std: float = Field(0.05, ge=0, description="Standard deviation before the cut, at least 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        _variance_scaling.fill_truncated(tensor, generator, self.mean, self.std)
