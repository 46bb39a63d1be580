"""Many perceptrons as one: the gradients of cross-entropy and squared error, derived by hand, in place.

One batched product a layer serves all replicas, and no graph is recorded: measured 4 to 8 times faster than one after the
other by autograd (bench/folds_mlp.py).

Shape letters: K replicas, B rows, I inputs of a layer, O its outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from sixfold.build._activations import Activation

aten = torch.ops.aten
# δ ← δ · a′ from the layer's output h and its input z; relu, tanh and sigmoid need h alone, so z is overwritten.
BACKWARD: dict[Activation, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "relu": lambda delta, h, z: aten.threshold_backward.grad_input(delta, h, 0.0, grad_input=delta),
    "tanh": lambda delta, h, z: aten.tanh_backward.grad_input(delta, h, grad_input=delta),
    "sigmoid": lambda delta, h, z: aten.sigmoid_backward.grad_input(delta, h, grad_input=delta),
    "gelu": lambda delta, h, z: aten.gelu_backward(delta, z, approximate="tanh"),
    "silu": lambda delta, h, z: aten.silu_backward(delta, z),
}
FORWARD: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
    "gelu": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
}


@dataclass(frozen=True)
class Layer:
    """Views of θ and ∇: `weight` [K, O, I] and `across` [K, I, O], the same transposed; `bias` [K, 1, O]; their gradients."""

    weight: torch.Tensor
    across: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor


class Noise(NamedTuple):
    """What makes training harder than predicting: the share of hidden units left out, and how much a label is smoothed."""

    dropout: float = 0.0
    label_smoothing: float = 0.0


class StackedPerceptron:
    """`theta`, `gradient`: [K, P], a row a replica: weight [O, I] and bias [O] of each layer in turn.

    `widths`: features, hidden units, outputs.
    """

    def __init__(
        self, widths: Sequence[int], activation: Activation, noise: Noise, theta: torch.Tensor, gradient: torch.Tensor
    ) -> None:
        self.activation = activation
        self.dropout, self.label_smoothing = noise
        self.layers: list[Layer] = []
        start = 0
        for inputs, outputs in itertools.pairwise(widths):
            middle, end = start + inputs * outputs, start + inputs * outputs + outputs
            (weight, bias), slopes = (
                (flat[:, start:middle].view(-1, outputs, inputs), flat[:, middle:end].view(-1, 1, outputs))
                for flat in (theta, gradient)
            )
            self.layers.append(Layer(weight, weight.transpose(1, 2), bias, *slopes))
            start = end

    @torch.inference_mode()
    def gradient(
        self, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return the losses [K, B]."""
        kept = [(drawn >= self.dropout).to(x.dtype).div_(1.0 - self.dropout) for drawn in noise]
        inputs, sums, outputs = self._forward(x, kept)
        losses, delta = self._compare(outputs, y)
        delta.mul_(weight.unsqueeze(2))
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            _product(delta.transpose(1, 2), inputs[number], layer.weight_gradient)
            torch.sum(delta, 1, keepdim=True, out=layer.bias_gradient)
            if number:
                delta = torch.bmm(delta, layer.weight)
                if kept:
                    delta.mul_(kept[number - 1])
                hidden = inputs[number] if not kept else sums[number - 1][1]
                delta = BACKWARD[self.activation](delta, hidden, sums[number - 1][0])
        return losses

    @torch.inference_mode()
    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row, [K, B]."""
        return self._compare(self._forward(x, [])[2], y)[0]

    def _compare(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if y.dtype == torch.int64:
            return _cross_entropy(outputs, y, self.label_smoothing)
        return _squared_error(outputs, y)

    def _forward(
        self, x: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
        """The input of every layer; before and after the activation of every hidden one; the outputs."""
        inputs, h = [x], x
        sums: list[tuple[torch.Tensor, torch.Tensor]] = []
        for number, layer in enumerate(self.layers):
            z = torch.baddbmm(layer.bias, h, layer.across)
            if number == len(self.layers) - 1:
                return inputs, sums, z
            h = FORWARD[self.activation](z)
            sums.append((z, h))
            h = h * kept[number] if kept else h
            inputs.append(h)
        return inputs, sums, h


def _product(left: torch.Tensor, right: torch.Tensor, into: torch.Tensor) -> None:
    """left · right → into. Written in place only where rows of θ touch: torch is slow in one with gaps (measured 1.5 times)."""
    if into.is_contiguous():
        torch.bmm(left, right, out=into)
    else:
        into.copy_(torch.bmm(left, right))


def _cross_entropy(scores: torch.Tensor, y: torch.Tensor, smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """−Σ t log softmax(scores), [K, B], with t = (1 − ε)·onehot(y) + ε / O; and its gradient softmax − t, [K, B, O]."""
    logs = functional.log_softmax(scores, dim=2)
    at = y.unsqueeze(2)
    losses = logs.gather(2, at).squeeze(2).mul_(smoothing - 1.0)
    if smoothing:
        losses.sub_(logs.mean(dim=2), alpha=smoothing)
    delta = logs.exp_()
    if smoothing:
        delta.sub_(smoothing / scores.shape[2])
    return losses, delta.scatter_add_(2, at, delta.new_full((1, 1, 1), smoothing - 1.0).expand(at.shape))


def _squared_error(outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean over the outputs of (output − y)², [K, B], and its gradient, [K, B, O]."""
    error = outputs - y
    return error.square().mean(dim=2), error.mul_(2.0 / outputs.shape[2])
