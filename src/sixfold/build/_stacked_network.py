"""Many replicas of a network that is written for any leading axes: one graph of autograd for all of them.

torch.func.vmap gives the same numbers, but walks every operation of the forward and of the backward pass in Python, and
makes of each slice of θ a gradient as large as θ: measured … times slower (bench/tabular_networks.py).

Shape letters: K replicas, P parameters of one, B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class StackedNetwork:
    """`run`: (parameters by name, each [K, …]; x [K, B, features]; noise or None) → outputs [K, B, …]; `losses`: those of every
    row, [K, B]. `flat`: θ and its gradient, [K, P], a row a replica, in the order of `module`'s parameters.
    """

    def __init__(
        self,
        module: nn.Module,
        run: Callable[..., torch.Tensor],
        losses: Losses,
        flat: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self.run, self.row_losses = run, losses
        theta, gradient = flat
        self.parts: dict[str, torch.Tensor] = {}
        self.into: list[torch.Tensor] = []
        start = 0
        for name, parameter in module.named_parameters():
            end, shape = start + parameter.numel(), (len(theta), *parameter.shape)
            self.parts[name] = theta[:, start:end].view(shape).detach().requires_grad_()
            self.into.append(gradient[:, start:end].view(shape))
            start = end

    def target(self, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """As it is."""
        return y

    def gradient(
        self, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        with torch.enable_grad():
            losses = (self.row_losses(self.run(self.parts, x, noise or None), target) * weight).sum(1)
            found = torch.autograd.grad(losses.sum(), list(self.parts.values()))
        for into, slope in zip(self.into, found, strict=True):
            into.copy_(slope)
        return losses.detach()

    @torch.inference_mode()
    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row without noise, [K, B]."""
        return self.row_losses(self.run(self.parts, x), y)
