"""Low-rank adapters beside the products of a module (Hu and others, LoRA, 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn


class LowRank(nn.Module):
    """W x + b + (α / r) B A x, of which A and B are learned; B is 0 at first, so that nothing is
    changed yet.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.down = nn.Parameter(torch.zeros(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def start(self, generator: torch.Generator) -> None:
        """Fill A."""
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5), generator=generator)
        nn.init.zeros_(self.up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[…, inputs] → […, outputs]."""
        return self.linear(x) + self.scale * (x @ self.down.T) @ self.up.T  # type: ignore[no-any-return]

    def merged(self) -> nn.Linear:
        """The same as one product."""
        linear = self.linear
        with torch.no_grad():
            linear.weight += self.scale * self.up @ self.down
        return linear


def with_adapters(module: nn.Module, rank: int, alpha: float) -> nn.Module:
    """The module with an adapter beside each of its products; its own weights stay as they are. In
    place.
    """
    module.requires_grad_(False)
    for parent, name, child in list(_children(module)):
        if isinstance(child, nn.Linear):
            setattr(parent, name, LowRank(child, rank, alpha))
    return module


def without_adapters(module: nn.Module) -> nn.Module:
    """The module with each adapter merged into its product: as large and as fast as before. In
    place.
    """
    for parent, name, child in list(_children(module)):
        if isinstance(child, LowRank):
            setattr(parent, name, child.merged())
    return module.requires_grad_(True)


def start_adapters(module: nn.Module, generator: torch.Generator) -> bool:
    """Fill all of them; whether there are any."""
    adapters = [part for part in module.modules() if isinstance(part, LowRank)]
    for adapter in adapters:
        adapter.start(generator)
    return bool(adapters)


def learns_nothing(module: nn.Module) -> bool:
    """Whether all of its weights are frozen."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def _children(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child
