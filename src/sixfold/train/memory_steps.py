"""What a training may do to need less memory, in the order of the time that it costs; and what running out of memory
looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import nn

from sixfold.core.errors import BudgetError
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.train.batch_parts import parts_of
from sixfold.train.recompute import blocks_of

RECOMPUTED: Final = 4 / 3  # of the time: one forward pass more, where backward takes two
NO_MEMORY: Final = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
)  # in what torch says


def steps(module: nn.Module, batch: int, now: Strategy) -> Iterator[MemoryStep]:
    """Those that are left after `now` for batches of `batch` rows, each stronger than the one before."""
    if mixes_rows(module):
        yield from _recomputed(module, now)
        return
    rows = -(-batch // parts_of(batch))
    rows = rows if now.micro_batch is None else min(rows, now.micro_batch)
    for step in _smaller(now, batch, rows, least=max(1, rows // 8)):
        yield step
        now = step.strategy
    for step in _recomputed(module, now):
        yield step
        now = step.strategy
    yield from _smaller(now, batch, now.micro_batch or rows, least=1)


def _smaller(now: Strategy, batch: int, rows: int, least: int) -> Iterator[MemoryStep]:
    while rows > least:
        rows = max(least, rows // 2)
        now = now.model_copy(update={"micro_batch": rows})
        times = -(-batch // rows)
        yield MemoryStep(
            now,
            f"micro_batch: {rows}",
            f"gradients of {times} micro-batches of {rows} rows are added up; the batch stays {batch}",
            1.0 + 0.02 * times**0.5,
        )


def _recomputed(module: nn.Module, now: Strategy) -> Iterator[MemoryStep]:
    if now.gradient_checkpointing or not blocks_of(module):
        return
    yield MemoryStep(
        now.model_copy(update={"gradient_checkpointing": True}),
        "gradient_checkpointing: true",
        f"of {len(blocks_of(module))} blocks of layers the inputs alone are kept, and each is computed again: "
        "a third more time",
        RECOMPUTED,
    )


def mixes_rows(module: nn.Module) -> bool:
    """Whether what it makes of a row depends on the other rows that are computed with it: then smaller parts would be
    another network.
    """
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory is what there was too little of."""
    if isinstance(error, BudgetError):
        return error.where in ("budget.memory", "memory")
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in NO_MEMORY)
