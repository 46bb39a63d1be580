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


class Goal(NamedTuple):
    """What is minimised: cross-entropy of `classes`, or squared error; and what makes training harder than predicting: the
    share of hidden units left out, and how much a label is smoothed.
    """

    classes: bool
    dropout: float = 0.0
    label_smoothing: float = 0.0


class StackedPerceptron:
    """`theta`, `gradient`: [K, P], a row a replica: weight [O, I] and bias [O] of each layer in turn.

    `widths`: features, hidden units, outputs.
    """

    def __init__(
        self, widths: Sequence[int], activation: Activation, goal: Goal, theta: torch.Tensor, gradient: torch.Tensor
    ) -> None:
        self.activation = activation
        self.classes, self.dropout, self.label_smoothing = goal
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

    def target(self, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Of classes −weight · t, [K, R, O], with t = (1 − ε)·onehot(y) + ε / O: then loss = Σ target · log softmax, and the
        gradient is torch's own of log softmax. Values stay as they are.
        """
        if y.dtype != torch.int64:
            return y
        outputs, smoothing = self.layers[-1].bias.shape[2], self.label_smoothing
        target = weight.new_full((*y.shape, outputs), smoothing / outputs)
        target.scatter_add_(2, y.unsqueeze(2), target.new_full((), 1.0 - smoothing).expand(*y.shape, 1))
        return target.mul_(weight.unsqueeze(2)).neg_()

    @torch.inference_mode()
    def gradient(
        self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        kept = [(drawn >= self.dropout).to(x.dtype).div_(1.0 - self.dropout) for drawn in noise]
        inputs, sums, outputs = self._forward(x, kept)
        losses, delta = _cross_entropy(outputs, target) if self.classes else _squared_error(outputs, target, weight)
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
        outputs = self._forward(x, [])[2]
        if not self.classes:
            return (outputs - y).square().mean(dim=2)
        target = self.target(y, torch.ones_like(y, dtype=x.dtype))
        return (functional.log_softmax(outputs, dim=2) * target).sum(dim=2)

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


def _cross_entropy(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ target · log softmax(scores), [K]; and its gradient target − softmax · Σ target, [K, B, O]."""
    logs = functional.log_softmax(scores, dim=2)
    losses = torch.linalg.vecdot(logs.flatten(1), target.flatten(1))
    return losses, aten._log_softmax_backward_data(target, logs, 2, scores.dtype)


def _squared_error(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ weight · mean over the outputs of (output − y)², [K], and its gradient, [K, B, O]."""
    error = outputs - y
    slope = error * weight.unsqueeze(2).mul(1.0 / outputs.shape[2])
    return torch.linalg.vecdot(error.flatten(1), slope.flatten(1)), slope.mul_(2.0)
