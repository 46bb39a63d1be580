"""Multilayer perceptron: h₁ = a(W₁x + b₁), …, outputs = W_L h + b_L; trained by the loop of
`train`.

Shape letters: R rows, F features, K outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from sixfold.build._activations import ACTIVATIONS, Activation
from sixfold.build._classes import present
from sixfold.build._fitted_network import FittedNetwork, LayerParts
from sixfold.build._links import Link
from sixfold.build._stacked_perceptron import Goal, StackedPerceptron
from sixfold.build.network import NetworkFamily
from sixfold.parts.fit import Fit, Fitted, Needs, Shape
from sixfold.parts.offsets import offsets
from sixfold.parts.table import FloatArray, IntArray, Task
from sixfold.parts.weights import mean, spread_of

# Width of the first hidden layer: the next power of two above the features, within these bounds;
# each further layer has half. Guessed, then seen to do on Adult (108 features), digits (64) and
# breast cancer (30).
SIZES: dict[str, tuple[int, int, int]] = {
    "small": (16, 32, 1),
    "medium": (32, 128, 2),
    "large": (64, 256, 3),
}


class DenseLayer(NamedTuple):
    """`weight` [out, in], `bias` [out]."""

    weight: torch.Tensor
    bias: torch.Tensor


def layer_outputs(
    layers: Sequence[DenseLayer],
    activation: Activation,
    x: torch.Tensor,
    kept: Sequence[torch.Tensor] = (),
) -> Iterator[torch.Tensor]:
    """The forward pass: what every layer gives for [R, F], the hidden ones after their activation,
    and the outputs last.

    `kept`: what every hidden layer's outputs are multiplied by, [R, units], before the next layer
    takes them: for dropout.
    """
    h = x
    for n, (weight, bias) in enumerate(layers[:-1]):
        h = ACTIVATIONS[activation](functional.linear(h, weight, bias))
        yield h
        h = h * kept[n] if kept else h
    yield functional.linear(h, *layers[-1])


@dataclass(frozen=True)
class FittedPerceptron(FittedNetwork):
    """A trained perceptron. `weights`: one [out, in] a layer; `biases`: one [out] a layer; all
    float32 or all float64.

    Neurons are cut as rows of one layer's arrays and columns of the next one's weights; `Fit.start`
    trains on from it.
    """

    weights: tuple[npt.NDArray[Any], ...]
    biases: tuple[npt.NDArray[Any], ...]
    activation: Activation
    link: Link
    target_shift: FloatArray
    target_scale: FloatArray
    arithmetic: Literal["float32", "float64"] = "float32"

    @property
    def features(self) -> int:
        """F."""
        return int(self.weights[0].shape[1])

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(len(bias) for bias in self.biases[:-1])

    def layers(self) -> list[tuple[str, tuple[int, int], int]]:
        """Name, shape (in, out) and number of parameters of every layer."""
        names = [
            *(f"hidden {n} ({self.activation})" for n in range(1, len(self.weights))),
            "output",
        ]
        pairs = zip(names, self.weights, self.biases, strict=True)
        return [(name, (w.shape[1], w.shape[0]), w.size + b.size) for name, w, b in pairs]

    def arrays_by_name(self) -> dict[str, npt.NDArray[Any]]:
        """Weights and biases of every layer."""
        weights = {f"weight_{n}": weight for n, weight in enumerate(self.weights)}
        return weights | {f"bias_{n}": bias for n, bias in enumerate(self.biases)}

    def outputs_of_layers(self, parts: LayerParts, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """As `layer_outputs`; `parts`: the arrays, in the type of `x`."""
        layers = [
            DenseLayer(parts[f"weight_{n}"], parts[f"bias_{n}"]) for n in range(len(self.weights))
        ]
        return layer_outputs(layers, self.activation, x)

    def scores(self, parts: LayerParts, x: torch.Tensor) -> torch.Tensor:
        """[R, F] → [R, K]."""
        *_, outputs = self.outputs_of_layers(parts, x)
        return outputs

    def with_parameters(self, parameters: dict[str, npt.NDArray[np.float64]]) -> Self:
        """The same network with other numbers, rounded to its precision."""
        dtype, count = self.weights[0].dtype, range(len(self.weights))
        weights = tuple(parameters[f"weight_{n}"].astype(dtype) for n in count)
        return replace(
            self,
            weights=weights,
            biases=tuple(parameters[f"bias_{n}"].astype(dtype) for n in count),
        )


class Perceptron(nn.Module):
    """The network while it is trained. `widths`: features, hidden units, outputs."""

    def __init__(self, widths: tuple[int, ...], activation: Activation, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(widths)
        )
        self.activation = activation
        self.dropout = dropout
        self.classes = False  # what is compared: noted with the first targets
        self.quantiles: tuple[float, ...] = ()  # what the outputs are, noted with them
        self.target: tuple[FloatArray, FloatArray] | None = None  # shift and scale, each [K]

    def forward(self, x: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """[R, F] → [R, K]: scores of classes, or scaled values. `noise`: as `noise_shapes` says;
        None drops nothing.
        """
        layers = [
            DenseLayer(layer.weight, layer.bias)
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        ]
        kept = [(drawn >= self.dropout).to(x.dtype) / (1.0 - self.dropout) for drawn in noise or ()]
        *_, outputs = layer_outputs(layers, self.activation, x, kept)
        return outputs

    def noise_shapes(self, rows: int) -> tuple[tuple[int, ...], ...]:
        """Dropout draws a number for every hidden unit of every row."""
        hidden = [layer.out_features for layer in self.layers if isinstance(layer, nn.Linear)][:-1]
        return tuple((rows, units) for units in hidden) if self.dropout else ()


class Settings(NetworkFamily):
    """Multilayer perceptron: cross-entropy for classes, mean squared error for values, pinball loss for
    quantiles. `hidden: []` is a linear model. Widths that are left out come from `size`. See `initialize` for how it starts
    and `train` for how it is trained.
    """

    needs: ClassVar[Needs] = Needs(
        sparse=True
    )  # float64: the network rounds to the precision of `train` itself
    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    learns_quantiles: ClassVar[bool] = True
    all_values_at_once: ClassVar[bool] = True

    size: Literal["small", "medium", "large"] = Field(
        "medium",
        description="How large the hidden layers are where `hidden` is left out: 1, 2 or 3 layers.",
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] | None = Field(
        None,
        description="Units of each hidden layer, 1 to 65536; [] for none. Left out: from `size` and the features.",
    )
    activation: Activation = Field(
        "relu", description="Between layers: relu, tanh, sigmoid, gelu (tanh form), silu."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of hidden units left out in each training step, in [0, 1).",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ε in [0, 1): a class counts 1 − ε, and all share ε (Szegedy and others, 2016).",
    )
    scale_target: bool | None = Field(
        None,
        description="Standardize the target while training; undone in the model. Left out: for regression only.",
    )

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Units of each hidden layer."""
        if self.hidden is not None:
            return self.hidden
        low, high, count = SIZES[self.size]
        first = min(high, max(low, 1 << (shape.features - 1).bit_length()))
        return tuple(max(8, first >> n) for n in range(count))

    def least_widths(self) -> tuple[int, ...]:
        """Those that are asked for; those from `size` are known with the features, and never below
        8.
        """
        return (2,) if self.hidden is None else self.hidden

    def derived(self, shape: Shape) -> str:
        """The widths that were chosen, and why."""
        if self.hidden is not None:
            return ""
        low, high, _ = SIZES[self.size]
        return (
            f"mlp: hidden {list(self.widths(shape))}, from size {self.size} and {shape.features} features "
            f"(the next power of two, {low} to {high}; each further layer has half)"
        )

    def module(self, shape: Shape) -> Perceptron:
        """A network whose parameters `initialize` still has to fill."""
        return Perceptron(
            (shape.features, *self.widths(shape), shape.outputs), self.activation, self.dropout
        )

    def targets(self, module: nn.Module, fit: Fit) -> FloatArray | IntArray:
        """int64 [R] classes, or float64 [R, K] values, standardized by the first call's rows where
        that is asked.
        """
        network = _perceptron(module)
        network.classes, network.quantiles = fit.task == "classification", fit.quantiles
        if network.classes:
            if network.target is None:
                present(fit, "mlp")
                network.target = np.zeros(fit.outputs), np.ones(fit.outputs)
            return np.asarray(fit.y, dtype=np.int64)
        y_RK = fit.values
        if network.target is None:
            wanted = fit.task == "regression" if self.scale_target is None else self.scale_target
            scaled = mean(y_RK, fit.weights), spread_of(y_RK, fit.weights)
            network.target = scaled if wanted else (offsets(y_RK), np.ones(fit.outputs))
        shift, scale = network.target
        return np.asarray((y_RK - shift) / scale, dtype=np.float64)

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each row, or its squared error, the mean over the outputs."""
        if y.dtype == torch.int64:
            return functional.cross_entropy(
                outputs, y, reduction="none", label_smoothing=self.label_smoothing
            )
        return (outputs - y).square().mean(dim=1)

    def program(
        self, module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor
    ) -> StackedPerceptron:
        """Many replicas as one, with gradients derived by hand."""
        network = _perceptron(module)
        layers = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
        widths = (layers[0].in_features, *(layer.out_features for layer in layers))
        goal = Goal(network.classes, self.dropout, self.label_smoothing, network.quantiles)
        return StackedPerceptron(widths, network.activation, goal, theta, gradient)

    def fitted(self, module: nn.Module, shape: Shape) -> FittedNetwork:
        """The trained network as arrays."""
        network = _perceptron(module)
        shift, scale = network.target or (np.zeros(shape.outputs), np.ones(shape.outputs))
        layers = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
        return FittedPerceptron(
            weights=tuple(layer.weight.detach().numpy().copy() for layer in layers),
            biases=tuple(layer.bias.detach().numpy().copy() for layer in layers),
            activation=network.activation,
            link="softmax" if shape.task == "classification" else "identity",
            target_shift=shift,
            target_scale=scale,
            arithmetic="float32" if shape.task == "classification" else "float64",
        )

    def resume(self, fitted: Fitted) -> Perceptron:
        """The network a state came from; its widths are those of the arrays, whatever `hidden`
        says.
        """
        if not isinstance(fitted, FittedPerceptron):
            raise TypeError(f"{type(fitted).__name__} is no Network")
        widths = (fitted.weights[0].shape[1], *(len(bias) for bias in fitted.biases))
        network = Perceptron(widths, fitted.activation, self.dropout)
        for layer, weight, bias in zip(network.layers, fitted.weights, fitted.biases, strict=True):
            layer.weight = nn.Parameter(torch.from_numpy(weight.copy()))
            layer.bias = nn.Parameter(torch.from_numpy(bias.copy()))
        network.target = (fitted.target_shift, fitted.target_scale)
        return network


def _perceptron(module: nn.Module) -> Perceptron:
    if not isinstance(module, Perceptron):
        raise TypeError(f"{type(module).__name__} is no Perceptron")
    return module
