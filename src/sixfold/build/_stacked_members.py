"""Many replicas of TabM as one: gradients derived by hand, in memory that is used again.

What a member scales by its adapters is as large as what a layer multiplies: autograd spends most of
its time on moving those numbers and on fresh memory for them (measured; the products take a fifth
of it). Here each is written in place.

Shape letters: K replicas, M members, B rows, I inputs of a layer, D its width, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from sixfold.build._entrance import FeatureEmbedding
from sixfold.build._stacked_network import StackedNetwork, groups

aten = torch.ops.aten


class MemberLayer(NamedTuple):
    """Of some replicas: `weight` [K, D, I], shared; `inward` [K, M, 1, I], `outward`, `bias` [K, M,
    1, D]: values, or slopes.
    """

    weight: torch.Tensor
    inward: torch.Tensor
    outward: torch.Tensor
    bias: torch.Tensor


class StackedMembers:
    """`plain`: the same by autograd, which holds θ and its gradient, knows the losses and judges.
    `dropout`: its share.
    """

    records = True

    def __init__(
        self, plain: StackedNetwork, entrance: FeatureEmbedding, blocks: int, dropout: float
    ) -> None:
        self.plain, self.entrance, self.blocks, self.dropout = plain, entrance, blocks, dropout
        self.memory: dict[str, torch.Tensor] = {}

    def encode(self, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As they are."""
        return y, weight

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row without noise, [K, B]."""
        return self.plain.losses(x, y)

    def gradient(
        self,
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        found = [
            self._gradient(
                some, x[some], target[some], weight[some], [drawn[some] for drawn in noise]
            )
            for some in groups(x, self.plain.held)
        ]
        return torch.cat(found)

    def _gradient(
        self,
        some: slice,
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        named = {
            name: self.plain.parts[name][some].detach().requires_grad_()
            for name in self.entrance.shapes()
        }
        with torch.enable_grad():
            entered = self.entrance.enter(named, x)
        with torch.no_grad():
            kept = [
                (drawn.transpose(1, 2) >= self.dropout).to(x.dtype).div_(1.0 - self.dropout)
                for drawn in noise
            ]
            inputs, products, scores = self._forward(some, entered.detach().unsqueeze(1), kept)
        with torch.enable_grad():
            outputs = scores.transpose(1, 2).requires_grad_()
            losses = (self.plain.row_losses(outputs, target) * weight).sum(1)
            delta_KBMO = torch.autograd.grad(losses.sum(), outputs)[0]
        with torch.no_grad():
            slope = self._backward(some, delta_KBMO.transpose(1, 2), inputs, products, kept)
        if named:
            for name, found in zip(
                named, torch.autograd.grad(entered, list(named.values()), slope), strict=True
            ):
                self.plain.slopes[name][some].copy_(found)
        return losses.detach()

    def _forward(
        self, some: slice, h: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
        """What enters every layer, [K, M, B, I]; r ⊙ that, and its product with W; the scores [K,
        M, B, O].
        """
        inputs, products = [h], []
        for n in range(self.blocks):
            layer = self._layer(n, some, self.plain.parts)
            shape = (*layer.bias.shape[:2], h.shape[2])
            inner = torch.mul(h, layer.inward, out=self._held(f"inner{n}", h, (*shape, h.shape[3])))
            z = self._held(f"z{n}", h, (*shape, layer.bias.shape[3]))
            torch.bmm(inner.flatten(1, 2), layer.weight.mT, out=z.flatten(1, 2))
            out = self._held(f"h{n}", h, z.shape)
            h = torch.addcmul(layer.bias, z, layer.outward, out=out).relu_()
            h = h.mul_(kept[n]) if kept else h
            inputs.append(h)
            products.append((inner, z))
        head = self.plain.parts["head_weight"][some]
        return (
            inputs,
            products,
            torch.matmul(h, head.mT).add_(self.plain.parts["head_bias"][some].unsqueeze(2)),
        )

    def _backward(
        self,
        some: slice,
        delta: torch.Tensor,
        inputs: list[torch.Tensor],
        products: list[tuple[torch.Tensor, torch.Tensor]],
        kept: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """From the slope of the scores, [K, M, B, O], to that of what entered, [K, B, I]."""
        self.plain.slopes["head_bias"][some].copy_(delta.sum(2))
        self.plain.slopes["head_weight"][some].copy_(torch.matmul(delta.mT, inputs[-1]))
        delta = torch.matmul(delta, self.plain.parts["head_weight"][some])
        for n in reversed(range(self.blocks)):
            layer, slopes = (
                self._layer(n, some, self.plain.parts),
                self._layer(n, some, self.plain.slopes),
            )
            inner, z = products[n]
            if kept:
                delta.mul_(kept[n])
            aten.threshold_backward.grad_input(delta, inputs[n + 1], 0.0, grad_input=delta)
            slopes.bias.copy_(delta.sum(2, keepdim=True))
            slopes.outward.copy_(z.mul_(delta).sum(2, keepdim=True))
            across = delta.mul_(layer.outward).flatten(1, 2)
            slopes.weight.copy_(torch.bmm(across.mT, inner.flatten(1, 2)))
            delta = self._held(f"delta{n}", inner, inner.shape)
            torch.bmm(across, layer.weight, out=delta.flatten(1, 2))
            slopes.inward.copy_(torch.mul(delta, inputs[n], out=inner).sum(2, keepdim=True))
            delta.mul_(layer.inward)
        return delta.sum(1)

    def _layer(self, n: int, some: slice, named: dict[str, torch.Tensor]) -> MemberLayer:
        weight, *each = (
            named[f"layer{n}_{part}"][some] for part in ("weight", "in", "out", "bias")
        )
        return MemberLayer(weight, *(part.unsqueeze(2) for part in each))

    def _held(self, name: str, like: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Memory of this shape, the same as in the step before."""
        count = torch.Size(shape).numel()
        if name not in self.memory or self.memory[name].numel() < count:
            self.memory[name] = like.new_empty(count)
        return self.memory[name][:count].view(*shape)
