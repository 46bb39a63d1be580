"""Everything starts at 0."""

from __future__ import annotations

import torch

from sixfold.recipe.section import Section


class Settings(Section):
    """θ = 0. For biases, and for networks without hidden layers: hidden units that start equal stay equal."""

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.zero_()
