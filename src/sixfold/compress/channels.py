"""Channels removed from a convolutional network: what hangs together is torch-pruning's dependency
graph (Fang et al. 2023).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch_pruning
from torch import nn

STEPS: Final = (
    10  # halvings of the interval in which the share of channels is looked for: 0.001 apart
)


@dataclass(frozen=True)
class ChannelPruning:
    """`multiply_adds`: the share that stays, in (0, 1]. `round_to`: channels that stay in a layer
    are a multiple of it: the larger, the coarser the shares that can be reached. `kept`: names of
    layers whose outputs all stay (the last one).
    """

    multiply_adds: float = 0.5
    round_to: int = 2
    kept: tuple[str, ...] = ("head",)


def channels_removed(module: nn.Module, config: ChannelPruning, example: torch.Tensor) -> nn.Module:
    """A copy without the least important channels, with at most the share of multiply-adds;
    `example`: an input, [rows, ...].

    Importance is the L2 norm of a filter, summed over all layers that have to lose it together (Li
    et al. 2017), compared within each layer. `module` itself stays as it is.
    """
    most = config.multiply_adds * multiply_adds(module, example)
    low, high = 0.0, 1.0  # of the share of channels to remove; at `high` enough is removed
    found = _removed(module, config, example, high)
    for _ in range(STEPS):
        middle = (low + high) / 2
        attempt = _removed(module, config, example, middle)
        if multiply_adds(attempt, example) <= most:
            high, found = middle, attempt
        else:
            low = middle
    return found


def multiply_adds(module: nn.Module, example: torch.Tensor) -> int:
    """Multiplications of weights in convolutions and linear layers for one row."""
    total = 0

    def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        weight: Any = layer.weight
        places = output[0].numel() // weight.shape[0]
        total += weight.numel() * places

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = module.training
    try:
        with torch.no_grad():
            module.eval()(example[:1])
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return total


def _removed(
    module: nn.Module, config: ChannelPruning, example: torch.Tensor, share: float
) -> nn.Module:
    """A copy with this share of channels less in every layer; one multiple of `round_to` always
    stays.
    """
    copied = copy.deepcopy(module)
    ignored = _named(copied, config.kept)
    pruner = torch_pruning.pruner.BasePruner(
        copied,
        example[:1],
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=share,
        ignored_layers=ignored,
        round_to=config.round_to,
    )
    pruner.step()
    return copied


def _named(module: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    layers = dict(module.named_modules())
    return [layers[name] for name in names if name in layers]
