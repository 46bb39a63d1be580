"""Parameters that ranks divide among themselves: FSDP2 (`torch.distributed.fsdp.fully_shard`).

Each rank keeps some rows of every parameter, of its gradient and of what the optimizer remembers of it; a block of
layers is put together for as long as it is computed. Rajbhandari and others, ZeRO: memory optimizations toward training
trillion parameter models, 2020.

Letters: P numbers of all learned parameters, p those of this rank.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.schema import Train
from sixfold.train.batch_parts import BatchPart, PartWork, RowSlice, learned_parameters
from sixfold.train.memory_steps import is_out_of_memory
from sixfold.train.rank_group import RankGroup, answered, first_line
from sixfold.train.recompute import blocks_of

FSDP: Final = "torch.distributed.fsdp"  # 45 MB and a second, which others need not pay
MESH: Final = "torch.distributed.device_mesh"
SUM: Final = 1.0  # what gradients of ranks are divided by: they are shares of one mean already


def check_shardable(train: Train) -> None:
    """Raises RecipeError for a training of which every rank would need all weights."""
    optimizer = str(train.optimizer["name"])
    settings = OPTIMIZER.load(optimizer)
    alone = not (optimizer == "auto" or settings.shaped or settings.full_batch)
    asked = {
        "optimizer": (alone, "one that works on each weight by itself, such as adamw", optimizer),
        "precision": (train.precision != "auto", "float32 or bfloat16", "auto"),
        "compile": (train.compile == "off", "off", train.compile),
        "spike": (train.spike is None, "nothing", f"{train.spike}"),
        "stop.metric": (train.stop.metric == "loss", "loss", train.stop.metric),
    }
    for key, (fits, expected, found) in asked.items():
        if not fits:
            where, remedy = f"train.{key}", "Change it, or leave budget.strategy.shard out."
            raise RecipeError(where, f"{expected}, where weights are sharded", found, remedy)


class ShardedParts:
    """As `BatchParts`, of a `module` that becomes a sharded one, all of whose parameters are learned. `theta`, `slope`: [p],
    parameters and gradients of this rank; `rows_at_once`: of a gradient.
    """

    def __init__(
        self, module: nn.Module, ranks: RankGroup, rows_at_once: Callable[[], int]
    ) -> None:
        self.ranks, self.rows_at_once = ranks, rows_at_once
        self.shapes = [one.shape for one in learned_parameters(module)]
        self.divided = _shard(module, ranks)
        self.parameters: list[Any] = list(learned_parameters(module))  # now DTensors
        local = [one.to_local().detach().reshape(-1) for one in self.parameters]
        self.theta = torch.cat(local)
        self.slope = torch.zeros_like(self.theta)
        self.parts = [BatchPart(module, self.slope)]

    def gradient(self, batch: int, backward: PartWork) -> torch.Tensor:
        """This rank's share of the loss of a batch of so many rows, whose gradient `add_up` takes. All ranks make as many
        passes, as each of them puts layers together: one that has no rows left makes one that counts for nothing.
        """
        self.place()
        own, rows = self.ranks.share(batch), max(1, self.rows_at_once())
        largest = -(-batch // self.ranks.count)
        losses = []
        with self.passing():
            for first in range(own.start, own.start + largest, rows):
                stop = min(first + rows, own.stop)
                part = RowSlice(0, first, stop) if first < stop else RowSlice(0, 0, 1, counts=False)
                losses.append(backward(self.parts[0].module, part))
        return torch.stack(losses).sum()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Inside, the module is passed through, which all ranks do. Raises what `RankGroup.lost` says where one is gone."""
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise self.ranks.lost(first_line(error)) from error

    def add_up(self, loss: torch.Tensor) -> None:
        """`slope` becomes the gradient of the whole batch, of this rank's own parameters, and `loss` that of all ranks."""
        start = 0
        for one in self.parameters:
            stop = start + one.to_local().numel()
            if one.grad is None:
                self.slope[start:stop] = 0
            else:
                self.slope[start:stop] = one.grad.to_local().reshape(-1)
            one.grad = None
            start = stop
        self.ranks.sum(loss)

    def norm(self) -> torch.Tensor:
        """Of the whole gradient, a scalar."""
        square = self.slope.square().sum()
        self.ranks.sum(square)
        return square.sqrt()

    def place(self) -> None:
        """The module's parameters become those of `theta`. What a pass without a gradient has put together is old then."""
        for one in self.divided:
            one.reshard()
        start = 0
        for one in self.parameters:
            local = one.to_local().detach()
            local.copy_(self.theta[start : start + local.numel()].view(local.shape))
            start += local.numel()

    def whole(self, own: torch.Tensor) -> torch.Tensor:
        """Numbers of all parameters, [P, …], of which `own` [p, …] are this rank's; what follows them is rank 0's. In the
        other ranks `own` as it is.
        """
        count, rest = len(self.theta), own[len(self.theta) :]
        most = max(self._size(rank) for rank in range(self.ranks.count))
        padded = own.new_zeros(most)
        padded[:count] = own[:count]
        first = self.ranks.rank == 0
        found = [torch.empty_like(padded) for _ in range(self.ranks.count)] if first else None
        with answered(self.ranks.lost):
            dist.gather(padded, found, dst=0, group=self.ranks.members)
        if found is None:
            return own
        starts, parts = [0] * self.ranks.count, list[torch.Tensor]()
        for shape in self.shapes:
            for rank, numbers in enumerate(found):
                size = self._rows(shape, rank) * _row_size(shape)
                parts.append(numbers[starts[rank] : starts[rank] + size])
                starts[rank] += size
        return torch.cat([*parts, rest])

    def own(self, whole: torch.Tensor) -> torch.Tensor:
        """This rank's numbers of all, [P, …] → [p, …]."""
        parts, start, rank = list[torch.Tensor](), 0, self.ranks.rank
        for shape in self.shapes:
            before = sum(self._rows(shape, other) for other in range(rank)) * _row_size(shape)
            size = self._rows(shape, rank) * _row_size(shape)
            parts.append(whole[start + before : start + before + size])
            start += shape.numel()
        return torch.cat([*parts, whole[start:]])

    def close(self) -> None:
        """Nothing is left open."""

    def _rows(self, shape: torch.Size, rank: int) -> int:
        """Of a parameter of this shape, as FSDP2 divides its first axis: equal parts, of which the last ones may be
        short, or empty.
        """
        each = -(-shape[0] // self.ranks.count)
        return int(np.clip(shape[0] - rank * each, 0, each))

    def _size(self, rank: int) -> int:
        return sum(self._rows(shape, rank) * _row_size(shape) for shape in self.shapes)


def _row_size(shape: torch.Size) -> int:
    return shape[1:].numel()


def _shard(module: nn.Module, ranks: RankGroup) -> list[Any]:
    """The parts of `module` that are put together one after the other."""
    if ranks.members is None:
        raise TypeError("one process has nobody to share with")
    fsdp: Any = importlib.import_module(FSDP)
    mesh = importlib.import_module(MESH).DeviceMesh.from_group(ranks.members, "cpu")
    for block in blocks_of(module):
        fsdp.fully_shard(block, mesh=mesh)
    fsdp.fully_shard(module, mesh=mesh)
    found: list[Any] = [one for one in module.modules() if isinstance(one, fsdp.FSDPModule)]
    for one in found:
        one.set_gradient_divide_factor(SUM)
        one.set_force_sum_reduction_for_comms(True)  # gloo knows no mean
    return found
