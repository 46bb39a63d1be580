"""What a training may do to need less memory, in the order of the time that it costs; and what running out of memory
looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import nn

from sixfold.core.errors import BudgetError
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.schema import Train
from sixfold.recipe.strategy import MemoryStep, Strategy
from sixfold.train.batch_parts import mixes_rows
from sixfold.train.mixed_precision import native
from sixfold.train.offload import remembered
from sixfold.train.recompute import blocks_of

RECOMPUTED: Final = 4 / 3  # times the operations: one forward pass more, where backward takes two
NO_MEMORY: Final = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
)  # in what torch says


class StepShape(NamedTuple):
    """`batch`: rows of a step; `at_once`: of which the gradient is computed at once, if no strategy says otherwise;
    `blocks`: of layers, that may be computed twice; `mixes`: what is made of a row depends on the other rows that are
    computed with it (a batch norm): smaller parts would be another network. `halves`: products may be computed in
    bfloat16; `remembers`: the optimizer has a state for each weight, which may lie outside of memory.
    """

    batch: int
    at_once: int
    blocks: int = 0
    mixes: bool = False
    halves: bool = False
    remembers: bool = False

    @classmethod
    def of(cls, module: nn.Module, batch: int, at_once: int) -> StepShape:
        """That of a module."""
        return cls(batch, at_once, len(blocks_of(module)), mixes_rows(module))

    def trained(self, train: Train, device: str = "cpu") -> StepShape:
        """With what the loop's settings leave open. A recipe that names no precision, or `auto`, lets it be chosen."""
        named = "precision" in train.model_fields_set and train.precision != "auto"
        full_batch = OPTIMIZER.load(str(train.optimizer["name"])).full_batch
        return self._replace(
            halves=not named and native(torch.device(device)),
            remembers=not full_batch and remembered(train) >= 1,
        )


def steps(shape: StepShape, now: Strategy) -> Iterator[MemoryStep]:
    """Those that are left after `now`, each stronger than the one before: from what costs least time."""
    for found in _halved(shape, now):
        yield found
        now = found.strategy
    if shape.mixes:
        for found in _recomputed(shape, now):
            yield found
            now = found.strategy
        yield from _offloaded(shape, now)
        return
    rows = shape.at_once if now.micro_batch is None else min(shape.at_once, now.micro_batch)
    for found in _smaller(now, shape.batch, rows, least=max(1, shape.at_once // 8)):
        yield found
        now = found.strategy
    for found in _recomputed(shape, now):
        yield found
        now = found.strategy
    for found in _offloaded(shape, now):
        yield found
        now = found.strategy
    yield from _smaller(now, shape.batch, now.micro_batch or rows, least=1)


def _smaller(now: Strategy, batch: int, rows: int, least: int) -> Iterator[MemoryStep]:
    while rows > least:
        rows = max(least, rows // 2)
        now = now.model_copy(update={"micro_batch": rows})
        times = -(-batch // rows)
        yield MemoryStep(
            now,
            f"micro_batch: {rows}",
            f"gradients of {times} micro-batches of {rows} rows are added up; the batch stays {batch}",
        )


def _halved(shape: StepShape, now: Strategy) -> Iterator[MemoryStep]:
    if not shape.halves or now.precision is not None:
        return
    yield MemoryStep(
        now.model_copy(update={"precision": "bfloat16"}),
        "precision: bfloat16",
        "products are computed in bfloat16, which this machine does as fast or faster; weights and sums stay in float32",
        "train",
    )


def _offloaded(shape: StepShape, now: Strategy) -> Iterator[MemoryStep]:
    if not shape.remembers or now.offload:
        return
    yield MemoryStep(
        now.model_copy(update={"offload": True}),
        "offload: true",
        "what the optimizer remembers lies in files, and is read and written once a step; the same bits",
    )


def _recomputed(shape: StepShape, now: Strategy) -> Iterator[MemoryStep]:
    if now.gradient_checkpointing or not shape.blocks:
        return
    yield MemoryStep(
        now.model_copy(update={"gradient_checkpointing": True}),
        "gradient_checkpointing: true",
        f"of {shape.blocks} blocks of layers the inputs alone are kept, and each is computed again: a third more time",
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory is what there was too little of."""
    if isinstance(error, BudgetError):
        return error.where in ("budget.memory", "memory")
    if isinstance(error.__cause__ or error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in NO_MEMORY)
