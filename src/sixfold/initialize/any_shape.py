"""Schemes that do not look at the size of the layer: for biases, too."""

from __future__ import annotations

from typing import Final, Self

import torch
from pydantic import Field, model_validator

from sixfold.recipe.section import Section

PLUGINS: Final = {
    "constant": "Constant",
    "normal": "Normal",
    "truncated_normal": "TruncatedNormal",
    "uniform": "Uniform",
    "zeros": "Zeros",
}


class Zeros(Section):
    """θ = 0. For biases, and for networks without hidden layers: hidden units that start equal stay
    equal.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.zero_()


class Constant(Section):
    """θ = value. For biases: hidden units that start equal stay equal."""

    value: float = Field(0.01, description="The value; any number.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.fill_(self.value)


class Normal(Section):
    """θ ~ N(mean, std²)."""

    mean: float = Field(0.0, description="Mean; any number.")
    std: float = Field(0.05, ge=0, description="Standard deviation, at least 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        with torch.no_grad():
            tensor.normal_(self.mean, self.std, generator=generator)


class Uniform(Section):
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


class TruncatedNormal(Section):
    """θ ~ N(mean, std²), drawn again where it is beyond mean ± 2·std (so the spread that results is
    0.88·std).
    """

    mean: float = Field(0.0, description="Mean; any number.")
    std: float = Field(0.05, ge=0, description="Standard deviation before the cut, at least 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        if self.std == 0.0:  # every draw is the mean
            tensor.data.fill_(self.mean)
            return
        low, high = self.mean - 2.0 * self.std, self.mean + 2.0 * self.std
        torch.nn.init.trunc_normal_(tensor, self.mean, self.std, low, high, generator=generator)
