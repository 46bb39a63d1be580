"""Many perceptrons as one: the gradients of cross-entropy and squared error, derived by hand, in
place.

One batched product a layer serves all replicas, and no graph is recorded: bench/folds_mlp.py
measures it beside autograd. What a layer gives stands with the rows last, [K, O, B]: narrow layers
are multiplied faster so (1,000 rows, 10 to 10 units: 6 instead of 12 µs), and log softmax over a
middle axis takes vector instructions (64 rows of 10 classes: 1 instead of 10 µs).

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
# δ ← δ · a′ from the layer's output h and its input z; relu, tanh and sigmoid need h alone, so z is
# overwritten.
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
class StackedLayer:
    """Views of θ and ∇: `weight` [K, O, I] and `across` [K, I, O], the same transposed; `bias` [K,
    O, 1]; their gradients.
    """

    weight: torch.Tensor
    across: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor


class Workspace(NamedTuple):
    """Memory that a layer fills anew every step: `sums` and their `slope`, [K, O, B]; `product`: a
    weight gradient, [K, O, I], where ∇ has gaps between the replicas' own: torch is slow in writing
    there (measured 1.5 times).
    """

    sums: torch.Tensor
    slope: torch.Tensor
    product: torch.Tensor | None

    @classmethod
    def of(cls, layer: StackedLayer, x: torch.Tensor) -> Workspace:
        """For `x` [K, B, features]."""
        shape = (len(x), layer.bias.shape[1], x.shape[1])
        gaps = not layer.weight_gradient.is_contiguous()
        return cls(
            x.new_empty(shape),
            x.new_empty(shape),
            torch.empty_like(layer.weight_gradient) if gaps else None,
        )


class Goal(NamedTuple):
    """What is minimized: cross-entropy of `classes`, the pinball loss of `quantiles`, or squared error; and
    what makes training harder than predicting: the share of hidden units left out, and how much a label is smoothed.
    """

    classes: bool
    dropout: float = 0.0
    label_smoothing: float = 0.0
    quantiles: tuple[float, ...] = ()


class StackedPerceptron:
    """`theta`, `gradient`: [K, P], a row a replica: weight [O, I] and bias [O] of each layer in
    turn.

    `widths`: features, hidden units, outputs.
    """

    records = False

    def __init__(
        self,
        widths: Sequence[int],
        activation: Activation,
        goal: Goal,
        theta: torch.Tensor,
        gradient: torch.Tensor,
    ) -> None:
        self.forward, self.backward = FORWARD[activation], BACKWARD[activation]
        self.classes, self.dropout, self.label_smoothing, quantiles = goal
        self.quantiles_O1 = theta.new_tensor(quantiles).unsqueeze(1) if quantiles else None
        self.half = theta.new_tensor(
            0.5
        )  # a number of Python's would be made a tensor of in every step
        self.layers: list[StackedLayer] = []
        self.workspaces: list[Workspace] = []
        start = 0
        for inputs, outputs in itertools.pairwise(widths):
            middle, end = start + inputs * outputs, start + inputs * outputs + outputs
            (weight, bias), slopes = (
                (
                    flat[:, start:middle].view(-1, outputs, inputs),
                    flat[:, middle:end].view(-1, outputs, 1),
                )
                for flat in (theta, gradient)
            )
            self.layers.append(StackedLayer(weight, weight.mT, bias, *slopes))
            start = end

    def encode(self, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of classes −weight · t, [K, S, O, B], with t = (1 − ε)·onehot(y) + ε / O: then loss = Σ
        target · log softmax, and the gradient is torch's own of log softmax. Values change their
        axes, and have the weights 2 · weight / O, [K, S, 1, B]; of quantiles weight / O.
        """
        outputs = self.layers[-1].bias.shape[1]
        if y.dtype != torch.int64:
            factor = (2.0 if self.quantiles_O1 is None else 1.0) / outputs
            return y.transpose(2, 3).contiguous(), weight.unsqueeze(2) * factor
        target = weight.new_full(
            (*y.shape[:2], outputs, y.shape[2]), self.label_smoothing / outputs
        )
        classes = y.unsqueeze(2)
        target.scatter_add_(
            2, classes, target.new_full((), 1.0 - self.label_smoothing).expand(classes.shape)
        )
        return target.mul_(weight.unsqueeze(2)).neg_(), weight

    def gradient(
        self,
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        if not self.workspaces or self.workspaces[0].sums.shape[2] != x.shape[1]:
            self.workspaces = [Workspace.of(layer, x) for layer in self.layers]
        kept = [(drawn.mT >= self.dropout).to(x.dtype).div_(1.0 - self.dropout) for drawn in noise]
        inputs, hidden, outputs = self._forward(x.mT, kept, [room.sums for room in self.workspaces])
        if self.classes:
            losses, delta = _cross_entropy(outputs, target)
        elif self.quantiles_O1 is not None:
            losses, delta = _pinball(outputs, target, weight, self.quantiles_O1)
        else:
            losses, delta = self._squared_error(outputs, target, weight)
        for number in range(len(self.layers) - 1, -1, -1):
            layer, (sums, _, product) = self.layers[number], self.workspaces[number]
            if number < len(hidden):
                torch.bmm(
                    self.layers[number + 1].across,
                    delta,
                    out=(delta := self.workspaces[number].slope),
                )
                if kept:
                    delta.mul_(kept[number])
                delta = self.backward(delta, hidden[number], sums)
            if product is None:
                torch.bmm(delta, inputs[number].mT, out=layer.weight_gradient)
            else:
                layer.weight_gradient.copy_(torch.bmm(delta, inputs[number].mT, out=product))
            torch.sum(delta, 2, keepdim=True, out=layer.bias_gradient)
        return losses

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row, [K, B]."""
        outputs = self._forward(x.mT, [], [None] * len(self.layers))[2]
        target = self.encode(y.unsqueeze(1), x.new_ones((len(x), 1, x.shape[1])))[0][:, 0]
        if self.quantiles_O1 is not None:
            error = target - outputs
            return torch.maximum(self.quantiles_O1 * error, (self.quantiles_O1 - 1.0) * error).mean(
                1
            )
        if not self.classes:
            return (outputs - target).square().mean(dim=1)
        return (torch.log_softmax(outputs, dim=1) * target).sum(dim=1)

    def _forward(
        self,
        h: torch.Tensor,
        kept: Sequence[torch.Tensor],
        workspaces: Sequence[torch.Tensor | None],
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """From the features [K, I, B]: the input of every layer; what every hidden one gives,
        before some of it is left out; the outputs [K, O, B].
        """
        inputs, hidden = [h], []
        for number, layer in enumerate(self.layers[:-1]):
            given = self.forward(torch.baddbmm(layer.bias, layer.weight, h, out=workspaces[number]))
            hidden.append(given)
            h = given * kept[number] if kept else given
            inputs.append(h)
        last = self.layers[-1]
        return inputs, hidden, torch.baddbmm(last.bias, last.weight, h, out=workspaces[-1])

    def _squared_error(
        self, outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """½ Σ weight · (output − y)², [K], and its gradient, [K, O, B]; `weight`: as `encode` has
        it.
        """
        error, slope = torch.sub(outputs, y, out=outputs), self.workspaces[-1].slope
        torch.mul(error, weight, out=slope)
        return error.mul_(slope).sum((1, 2)).mul_(self.half), slope


def _pinball(
    outputs: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, quantiles_O1: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ weight · max(q·e, (q − 1)·e) with e = y − output, [K], and its gradient, [K, O, B]: where e is above
    0 −q, else 1 − q, times the weight.
    """
    error = y - outputs
    slope = ((error <= 0).to(error.dtype) - quantiles_O1).mul_(weight)
    return error.mul_(slope).sum((1, 2)).neg_(), slope


def _cross_entropy(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ target · log softmax(scores), [K]; and its gradient target − softmax · Σ target, [K, O,
    B].
    """
    logs = torch.log_softmax(scores, dim=1)
    losses = torch.mul(logs, target).sum((1, 2))
    return losses, torch._log_softmax_backward_data(target, logs, 1, scores.dtype)
