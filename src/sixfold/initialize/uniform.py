"""Uniform between two bounds that do not look at the layer's size."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator

from sixfold.recipe.section import Section


class Settings(Section):
    """θ ~ U(low, high)."""

    low: float = Field(-0.05, description="Lower bound; not above `high`.")
    high: float = Field(0.05, description="Upper bound; not below `low`.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low that is not above high")
        return self

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.uniform_(self.low, self.high, generator=generator)
