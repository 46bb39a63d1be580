"""Schemes that look at the layer's inputs and outputs, so that signals and gradients keep their
size from layer to layer.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from pydantic import Field

from sixfold.core.errors import FitError
from sixfold.recipe.section import Section

PLUGINS: Final = {
    "he_normal": "HeNormal",
    "he_uniform": "HeUniform",
    "lecun_normal": "LecunNormal",
    "orthogonal": "Orthogonal",
    "xavier_normal": "XavierNormal",
    "xavier_uniform": "XavierUniform",
}


Fan = Literal["in", "out", "mean"]


def fan(tensor: torch.Tensor, mode: Fan) -> float:
    """Units feeding (or fed by) a unit, of weights [out, in, ...]. Raises FitError for a vector
    such as a bias.
    """
    if tensor.ndim < 2:
        raise FitError(
            "initialize",
            "weights [out, in] for a scheme that counts inputs and outputs",
            f"a tensor of shape {tuple(tensor.shape)}",
            "Choose zeros, constant, normal or uniform for biases.",
        )
    receptive = math.prod(tensor.shape[2:])
    fan_out, fan_in = tensor.shape[0] * receptive, tensor.shape[1] * receptive
    return float({"in": fan_in, "out": fan_out, "mean": (fan_in + fan_out) / 2}[mode])


def fill_normal(tensor: torch.Tensor, generator: torch.Generator, variance: float) -> None:
    """θ ~ N(0, variance), in place."""
    with torch.no_grad():
        tensor.normal_(0.0, math.sqrt(variance), generator=generator)


def fill_uniform(tensor: torch.Tensor, generator: torch.Generator, variance: float) -> None:
    """θ ~ U(−√(3·variance), √(3·variance)), in place: that has this variance."""
    bound = math.sqrt(3.0 * variance)
    with torch.no_grad():
        tensor.uniform_(-bound, bound, generator=generator)


class HeNormal(Section):
    """θ ~ N(0, 2 / fan_in); made for relu.

    He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = 2.0 / fan(tensor, "in")
        fill_normal(tensor, generator, variance)


class HeUniform(Section):
    """θ ~ U(−a, a) with a = √(6 / fan_in); made for relu.

    He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = 2.0 / fan(tensor, "in")
        fill_uniform(tensor, generator, variance)


class LecunNormal(Section):
    """θ ~ N(0, 1 / fan_in); made for tanh and for self-normalizing units.

    LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = 1.0 / fan(tensor, "in")
        fill_normal(tensor, generator, variance)


class XavierNormal(Section):
    """θ ~ N(0, gain²·2 / (fan_in + fan_out)); made for tanh.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    2010.
    """

    gain: float = Field(1.0, gt=0, description="Factor on the spread, above 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = self.gain**2 / fan(tensor, "mean")
        fill_normal(tensor, generator, variance)


class XavierUniform(Section):
    """θ ~ U(−a, a) with a = gain·√(6 / (fan_in + fan_out)); made for tanh.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    2010.
    """

    gain: float = Field(1.0, gt=0, description="Factor on the spread, above 0.")

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        variance = self.gain**2 / fan(tensor, "mean")
        fill_uniform(tensor, generator, variance)


class Orthogonal(Section):
    """θ = gain·Q, Q from the QR decomposition of a normal matrix, its signs made unique: θθᵀ =
    gain²·I (or θᵀθ, if there are more outputs than inputs).

    Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning, 2014.
    """

    gain: float = Field(
        1.0, gt=0, description="Length of the rows (or columns), above 0; 1.41 for relu."
    )

    def fill(self, tensor: torch.Tensor, generator: torch.Generator) -> None:
        """Fill `tensor` (weights [out, in]) in place."""
        fan(tensor, "in")  # refuses vectors
        torch.nn.init.orthogonal_(tensor, self.gain, generator=generator)
