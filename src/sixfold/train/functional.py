"""Losses and gradients of many replicas of any network, by torch.func: the way for families that
derive none by hand.

Horace He and Richard Zou, functorch: JAX-like composable function transforms for PyTorch, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Named = dict[str, torch.Tensor]


class FunctionalProgram:
    """`modules`: one a replica, alike but for their parameters and buffers; `losses`: per row, of
    outputs and targets.

    `theta`, `gradient`: [K, P], a row a replica, in the order of `parameters()`.
    """

    records = True

    def __init__(
        self,
        modules: Sequence[nn.Module],
        losses: Losses,
        theta: torch.Tensor,
        gradient: torch.Tensor,
    ) -> None:
        self.module = modules[0]
        self.row_losses = losses
        self.theta, self.into = theta, gradient
        self.parts = [(name, parameter.shape) for name, parameter in self.module.named_parameters()]
        buffers = stack_module_state(list(modules))[1]
        self.buffers: Named = {name: buffer.to(theta.device) for name, buffer in buffers.items()}
        self._gradients = vmap(grad(self._loss, has_aux=True))
        self._losses = vmap(self._one)

    def encode(self, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the family's losses take them."""
        return y, weight

    def gradient(
        self,
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Write the gradients of Σ weight · loss; return Σ weight · loss, [K]."""
        losses: torch.Tensor
        gradients, losses = self._gradients(
            self.theta, self.buffers, x, target, weight, tuple(noise)
        )
        self.into.copy_(gradients)
        return losses

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of every row without noise, [K, B]."""
        losses: torch.Tensor = self._losses(self.theta, self.buffers, x, y, ())
        return losses

    def _one(
        self,
        theta: torch.Tensor,
        buffers: Named,
        x: torch.Tensor,
        y: torch.Tensor,
        noise: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """One replica: `theta` [P] → losses [B]."""
        state, start = dict(buffers), 0
        for name, shape in self.parts:
            state[name] = theta[start : start + shape.numel()].view(shape)
            start += shape.numel()
        outputs: torch.Tensor = functional_call(self.module, state, (x, noise) if noise else (x,))
        losses: torch.Tensor = self.row_losses(outputs, y)
        return losses

    def _loss(
        self,
        theta: torch.Tensor,
        buffers: Named,
        x: torch.Tensor,
        y: torch.Tensor,
        weight: torch.Tensor,
        noise: tuple[torch.Tensor, ...],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = (self._one(theta, buffers, x, y, noise) * weight).sum()
        return loss, loss
