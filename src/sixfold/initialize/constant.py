"""Everything starts at one value."""

from __future__ import annotations

import torch
from pydantic import Field

from sixfold.recipe.section import Section


class Settings(Section):
    """θ = value. For biases: hidden units that start equal stay equal."""

    value: float = Field(0.01, description="The value; any number.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.fill_(self.value)
