"""Normal, with a spread that does not look at the layer's size."""

from __future__ import annotations

import torch
from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ N(mean, std²)."""

    mean: float = Field(0.0, description="Mean; any number.")
    std: float = Field(0.05, ge=0, description="Standard deviation, at least 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.normal_(self.mean, self.std, generator=generator)
