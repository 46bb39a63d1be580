"""Schemes whose variance is gain / fan, where fan is the number of inputs, of outputs, or the mean of both."""

from __future__ import annotations

import math
from typing import Literal

import torch

from sixfold.core.errors import FitError

Fan = Literal["in", "out", "mean"]


def fan(tensor: torch.Tensor, mode: Fan) -> float:
    """Units feeding (or fed by) a unit, of weights [out, in, ...]. Raises FitError for a vector such as a bias."""
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


def fill_truncated(tensor: torch.Tensor, generator: torch.Generator, mean: float, scale: float) -> None:
    """θ ~ N(mean, scale²) cut off at mean ± 2·scale, in place; its standard deviation is 0.8796·scale."""
    if scale == 0.0:  # every draw is the mean
        tensor.data.fill_(mean)
    else:
        torch.nn.init.trunc_normal_(tensor, mean, scale, mean - 2.0 * scale, mean + 2.0 * scale, generator=generator)
