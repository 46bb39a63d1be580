"""Gradient checkpointing: the inputs of blocks of layers are kept, and each block is computed again when its gradient
is asked for (Chen and others, Training deep nets with sublinear memory cost, 2016).

`torch.utils.checkpoint` does the same; it brings in torch's compiler (83 MB, measured), restores torch's generator without
asking who else draws from it, and counts buffers (the means of a batch norm) twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from sixfold.parts.draws import GENERATOR

DEVICES: Final = ("cpu", "cuda")  # whose products may be in bfloat16
LEAST_BLOCKS: Final = 2  # one block would be kept whole while it is computed again


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The blocks of the list or sequence that has most parameters, those with parameters alone; [] where there are not
    two of them.
    """
    found: list[nn.Module] = []
    most = 0
    for part in module.modules():
        if not isinstance(part, nn.ModuleList | nn.Sequential):
            continue
        blocks = [block for block in part if next(block.parameters(), None) is not None]
        size = sum(one.numel() for one in part.parameters())
        if len(blocks) >= LEAST_BLOCKS and size > most:
            found, most = blocks, size
    return found


def start(module: nn.Module, draws: Callable[[], bool]) -> None:
    """From now on the blocks of `module` are computed twice. `draws`: whether the module draws from torch's generator,
    which then is held, and gives the same numbers again.
    """
    for block in blocks_of(module):
        if "forward" not in vars(block):
            block.forward = _Recomputed(block, draws)


def stop(module: nn.Module) -> None:
    """They are computed once again."""
    for block in module.modules():
        if isinstance(vars(block).get("forward"), _Recomputed):
            del block.forward


@dataclass(frozen=True)
class _Recomputed:
    """The forward pass of a block, whose class has the real one."""

    block: nn.Module
    draws: Callable[[], bool]

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.plain(inputs, named)
        learns = torch.zeros(0, requires_grad=True)  # so that there is a gradient, whatever enters
        return _Block.apply(self, named, learns, *inputs)  # type: ignore[no-untyped-call]

    def plain(self, inputs: Any, named: dict[str, Any]) -> Any:
        """Computed once."""
        return type(self.block).forward(self.block, *inputs, **named)


class _Block(torch.autograd.Function):
    """Keeps what enters a block, and nothing of what happens in it."""

    @staticmethod
    def forward(
        ctx: Any, twice: _Recomputed, named: dict[str, Any], learns: Any, *inputs: Any
    ) -> Any:
        ctx.twice, ctx.named = twice, named
        ctx.state = torch.get_rng_state() if twice.draws() else None
        ctx.halved = [one for one in DEVICES if torch.is_autocast_enabled(one)]
        ctx.places = [at for at, one in enumerate(inputs) if isinstance(one, torch.Tensor)]
        ctx.others = [None if isinstance(one, torch.Tensor) else one for one in inputs]
        ctx.save_for_backward(*(inputs[at] for at in ctx.places))
        return twice.plain(inputs, named)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        inputs = list(ctx.others)
        for at, one, wanted in zip(
            ctx.places,
            ctx.saved_tensors,
            (ctx.needs_input_grad[3 + at] for at in ctx.places),
            strict=True,
        ):
            inputs[at] = one.detach().requires_grad_(wanted)
        buffers = list(ctx.twice.block.buffers())
        kept = [buffer.clone() for buffer in buffers]
        with torch.enable_grad(), _drawn_again(ctx.state), ExitStack() as precision:
            for device in ctx.halved:
                precision.enter_context(torch.autocast(device, torch.bfloat16))
            made = ctx.twice.plain(inputs, ctx.named)
        outputs = made if isinstance(made, tuple) else (made,)
        pairs = [
            (one, gradient)
            for one, gradient in zip(outputs, gradients, strict=True)
            if isinstance(one, torch.Tensor) and one.requires_grad and gradient is not None
        ]
        torch.autograd.backward([one for one, _ in pairs], [gradient for _, gradient in pairs])
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)
        entered = [one.grad if isinstance(one, torch.Tensor) else None for one in inputs]
        return None, None, None, *entered


@contextmanager
def _drawn_again(state: torch.Tensor | None) -> Iterator[None]:
    """What is drawn inside is what was drawn then."""
    if state is None:
        yield
        return
    with GENERATOR, torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state)
        yield
