"""Many perceptrons as one: the gradients of cross-entropy and squared error, derived by hand, in place.

One batched product a layer serves all replicas, and no graph is recorded: bench/folds_mlp.py measures it beside autograd.
What a layer gives stands with the rows last, [K, O, B]: narrow layers are multiplied faster so (1,000 rows, 10 to 10 units: 6
instead of 12 µs), and log softmax over a middle axis takes vector instructions (64 rows of 10 classes: 1 instead of 10 µs).

Shape letters: K replicas, S steps, B rows, I inputs of a layer, O its outputs.
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
    """Views of θ and ∇: `weight` [K, O, I] and `across` [K, I, O], the same transposed; `bias` [K, O, 1]; their gradients."""

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
                (flat[:, start:middle].view(-1, outputs, inputs), flat[:, middle:end].view(-1, outputs, 1))
                for flat in (theta, gradient)
            )
            self.layers.append(Layer(weight, weight.mT, bias, *slopes))
            start = end

    def target(self, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Of classes −weight · t, [K, S, O, B], with t = (1 − ε)·onehot(y) + ε / O: then loss = Σ target · log softmax, and
        the gradient is torch's own of log softmax. Values only change their axes.
        """
        if y.dtype != torch.int64:
            return y.transpose(2, 3).contiguous()
        outputs, smoothing = self.layers[-1].bias.shape[1], self.label_smoothing
        target = weight.new_full((*y.shape[:2], outputs, y.shape[2]), smoothing / outputs)
        classes = y.unsqueeze(2)
        target.scatter_add_(2, classes, target.new_full((), 1.0 - smoothing).expand(classes.shape))
        return target.mul_(weight.unsqueeze(2)).neg_()

    def gradient(
        self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        kept = [(drawn.mT >= self.dropout).to(x.dtype).div_(1.0 - self.dropout) for drawn in noise]
        inputs, sums, outputs = self._forward(x, kept)
        losses, delta = _cross_entropy(outputs, target) if self.classes else _squared_error(outputs, target, weight)
        for number in reversed(range(len(self.layers))):
            layer = self.layers[number]
            _product(delta, inputs[number].mT, layer.weight_gradient)
            torch.sum(delta, 2, keepdim=True, out=layer.bias_gradient)
            if number:
                delta = torch.bmm(layer.across, delta)
                if kept:
                    delta.mul_(kept[number - 1])
                hidden = inputs[number] if not kept else sums[number - 1][1]
                delta = BACKWARD[self.activation](delta, hidden, sums[number - 1][0])
        return losses

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row, [K, B]."""
        outputs = self._forward(x, [])[2]
        target = self.target(y.unsqueeze(1), x.new_ones((len(x), 1, x.shape[1])))[:, 0]
        if not self.classes:
            return (outputs - target).square().mean(dim=1)
        return (torch.log_softmax(outputs, dim=1) * target).sum(dim=1)

    def _forward(
        self, x: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
        """The input of every layer; before and after the activation of every hidden one; the outputs [K, O, B]."""
        h = x.mT
        inputs = [h]
        sums: list[tuple[torch.Tensor, torch.Tensor]] = []
        for number, layer in enumerate(self.layers[:-1]):
            z = torch.baddbmm(layer.bias, layer.weight, h)
            h = FORWARD[self.activation](z)
            sums.append((z, h))
            h = h * kept[number] if kept else h
            inputs.append(h)
        last = self.layers[-1]
        return inputs, sums, torch.baddbmm(last.bias, last.weight, h)


def _product(left: torch.Tensor, right: torch.Tensor, into: torch.Tensor) -> None:
    """left · right → into. Written in place only where rows of θ touch: torch is slow in one with gaps (measured 1.5 times)."""
    if into.is_contiguous():
        torch.bmm(left, right, out=into)
    else:
        into.copy_(torch.bmm(left, right))


def _cross_entropy(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ target · log softmax(scores), [K]; and its gradient target − softmax · Σ target, [K, O, B]."""
    logs = torch.log_softmax(scores, dim=1)
    losses = torch.mul(logs, target).sum((1, 2))
    return losses, torch._log_softmax_backward_data(target, logs, 1, scores.dtype)


def _squared_error(outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ weight · mean over the outputs of (output − y)², [K], and its gradient, [K, O, B]."""
    error, share = outputs - y, 1.0 / outputs.shape[1]
    slope = error * weight.unsqueeze(1)
    return error.mul_(slope).sum((1, 2)).mul_(share), slope.mul_(2.0 * share)
