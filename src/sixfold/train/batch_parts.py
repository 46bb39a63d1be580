"""A batch in parts, each through a copy of the module on a thread of its own.

How a batch is divided depends on its rows alone, and the gradients of the parts are added in their
order: the bits are the same on one core as on many. A batch norm sees one part (Hoffer and others,
Train longer, generalize better, 2017: ghost batch normalization), also where ranks share the parts.

Letters: P numbers of all parameters that are learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from sixfold.train.rank_group import ALONE, RankGroup

PART_ROWS: Final = 32  # of a part at least; guessed: fewer rows are too few for a batch norm
MOST_PARTS: Final = 4  # each has a gradient of its own


class BatchPart(NamedTuple):
    """A module that shares the parameters of the others and has a gradient of its own, [P]."""

    module: nn.Module
    gradient: torch.Tensor


class PartTensors(NamedTuple):
    """All learned parameters, one after the other, and their gradients: [P] each."""

    theta: torch.Tensor
    gradient: torch.Tensor


AnyModule = TypeVar("AnyModule", bound=nn.Module)


class BatchExamples(NamedTuple):
    """Inputs and targets, rows first; `weight`: [rows], how often each counts, None: once."""

    x: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor | None

    def take(self, rows: slice) -> BatchExamples:
        """Some of them."""
        weight = None if self.weight is None else self.weight[rows]
        return BatchExamples(self.x[rows], self.y[rows], weight)


class RowSlice(NamedTuple):
    """Rows of a batch that go through a module together; `number`: of the part, by which it draws. `counts`: False for a
    pass that is made because other ranks make one.
    """

    number: int
    first: int
    stop: int
    counts: bool = True

    @property
    def rows(self) -> slice:
        """Of the batch."""
        return slice(self.first, self.stop)


PartWork = Callable[[nn.Module, RowSlice], torch.Tensor]
"""(module, rows of the batch) → their share of the batch's loss, a scalar, whose gradient is added to that
of the module.
"""


@dataclass(frozen=True)
class BatchDivision:
    """How a batch is divided: by `parts` of so many rows; among `ranks`. `mixes`: what is made of a row depends on the
    other rows of its part.
    """

    parts: Callable[[int], int]
    ranks: RankGroup = ALONE
    mixes: bool = False

    def own(self, rows: int, most: int) -> list[RowSlice]:
        """What this rank computes of a batch, of at most `most` parts: whole parts, as one process has them. Where there
        are fewer parts than ranks, each rank has its share of the rows, unless these mix: then some ranks have none.
        """
        count, ranks = min(self.parts(rows), most), self.ranks
        numbers = ranks.share(count)
        if count < ranks.count and not self.mixes:
            count, numbers = ranks.count, range(ranks.rank, ranks.rank + 1)
        cuts = np.linspace(0, rows, count + 1).astype(np.int64).tolist()
        found = [RowSlice(number, cuts[number], cuts[number + 1]) for number in numbers]
        return [each for each in found if each.stop > each.first]


class BatchParts:
    """`module`: its learned parameters and their gradients are views of `tensors`. `most`: rows of a batch; `workers`:
    parts that are computed at once.
    """

    def __init__(
        self,
        module: nn.Module,
        tensors: PartTensors,
        division: BatchDivision,
        most: int,
        workers: int,
    ) -> None:
        theta, gradient = tensors
        self.division = division
        bind(module, theta, gradient)
        self.most = division.parts(most) if theta.device.type == "cpu" else 1
        count = max(1, len(division.own(most, self.most)))
        self.parts = [BatchPart(module, gradient)]
        for _ in range(1, count):
            part = BatchPart(sharing(module), torch.zeros_like(gradient))
            bind(part.module, theta, part.gradient)
            self.parts.append(part)
        self._buffers = [
            list(part.module.buffers()) for part in self.parts
        ]  # walked once: it takes 0.4 ms
        at_once = min(workers, count)
        self._pool = ThreadPoolExecutor(at_once, initializer=_start) if at_once > 1 else None
        self._changes: list[torch.Tensor] = []  # of the buffers, by this rank's parts

    def gradient(self, batch: int, backward: PartWork) -> torch.Tensor:
        """Write the gradient of the loss of a batch of so many rows; that loss, a scalar. Of several ranks both are this
        rank's share, which `add_up` follows.
        """
        slices = self.division.own(batch, self.most)
        used, buffers = self.parts[: len(slices)], self._buffers[: len(slices)]
        before = [buffer.clone() for buffer in self._buffers[0]] if self.ranks.count > 1 else []
        _share_buffers(buffers)

        def work(at: int) -> torch.Tensor:
            module, gradient = used[at]
            gradient.zero_()
            return backward(module, slices[at])

        each = range(len(slices))
        losses = list(map(work, each) if self._pool is None else self._pool.map(work, each))
        for part in used[1:]:
            used[0].gradient.add_(part.gradient)
        shares = np.array([part.stop - part.first for part in slices]) / batch
        if self.ranks.count == 1:
            _mean_of_buffers(buffers, shares)
        else:
            self._changes = _changes_of_buffers(buffers, before, shares)
            _share_buffers([before, self._buffers[0]])
        if not slices:
            self.parts[0].gradient.zero_()
            return self.parts[0].gradient.new_zeros(())
        return torch.stack(losses).sum()

    @property
    def ranks(self) -> RankGroup:
        """Who computes parts."""
        return self.division.ranks

    def add_up(self, loss: torch.Tensor) -> None:
        """The gradient, `loss` and the buffers become those of the whole batch in every rank; alone they are."""
        if self.ranks.count == 1:
            return
        self.ranks.sum(self.parts[0].gradient, loss, *self._changes)
        real = [buffer for buffer in self._buffers[0] if buffer.is_floating_point()]
        for buffer, change in zip(real, self._changes, strict=True):
            buffer.add_(change)

    def close(self) -> None:
        """End its threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _share_buffers(parts: Sequence[Sequence[torch.Tensor]]) -> None:
    """Such as the running means of a batch norm: all begin where the first one is."""
    for buffers in parts[1:]:
        for own, first in zip(buffers, parts[0], strict=True):
            own.copy_(first)


def _mean_of_buffers(parts: Sequence[Sequence[torch.Tensor]], shares: np.ndarray) -> None:
    """What each part made of them, by its share of the rows; what none changed stays as it is, to
    the bit.
    """
    for buffers in zip(*parts, strict=True):
        first = buffers[0]
        if first.is_floating_point():
            apart = [
                (other - first) * share
                for other, share in zip(buffers[1:], shares[1:].tolist(), strict=True)
            ]
            for each in apart:
                first.add_(each)


def _changes_of_buffers(
    parts: Sequence[Sequence[torch.Tensor]], before: Sequence[torch.Tensor], shares: np.ndarray
) -> list[torch.Tensor]:
    """What each part of this rank has changed of buffers of real numbers, by its share of the rows."""
    changes = [torch.zeros_like(old) for old in before if old.is_floating_point()]
    for buffers, share in zip(parts, shares.tolist(), strict=True):
        real = [
            (new, old) for new, old in zip(buffers, before, strict=True) if old.is_floating_point()
        ]
        for change, (new, old) in zip(changes, real, strict=True):
            change.add_((new - old) * share)
    return changes


def parts_of(rows: int) -> int:
    """The number of parts of a batch."""
    return max(1, min(MOST_PARTS, rows // PART_ROWS))


def mixes_rows(module: nn.Module) -> bool:
    """Whether what is made of a row depends on the other rows that are computed with it (a batch norm)."""
    norms = nn.modules.batchnorm._BatchNorm
    return any(isinstance(part, norms) for part in module.modules())


def learned_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Those that are not frozen."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def optimized_shapes(module: nn.Module) -> list[torch.Size]:
    """How optimizers see the learned parameters. A table of vectors (of tokens), of which a step moves
    a few rows, and the last product of a network over tokens, which is of that shape, stand as [1,
    rows, width]: they are not the matrix of a layer.
    """
    tables = [one.weight for one in module.modules() if isinstance(one, nn.Embedding)]
    largest = max((one.shape for one in tables), key=lambda shape: shape[0], default=None)
    return [
        torch.Size((1, *one.shape))
        if one.shape == largest or any(one is table for table in tables)
        else one.shape
        for one in learned_parameters(module)
    ]


def bind(module: nn.Module, theta: torch.Tensor, gradient: torch.Tensor) -> None:
    """Make the learned parameters views of `theta` [P], and their gradients views of `gradient`;
    those of convolutions stay in the layout that they have.
    """
    parameters = learned_parameters(module)
    for parameter, values, slopes in zip(
        parameters, views(parameters, theta), views(parameters, gradient), strict=True
    ):
        parameter.data, parameter.grad = values, slopes


def views(parameters: Sequence[torch.Tensor], numbers: torch.Tensor) -> list[torch.Tensor]:
    """`numbers` [P], as `flat` orders them, in the shapes and layouts of `parameters`."""
    found, start = [], 0
    for one in parameters:
        own = numbers[start : start + one.numel()]
        found.append(own.as_strided(one.shape, _dense_strides(one)))
        start += one.numel()
    return found


def flat(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Their numbers one after the other, [P], each in the order in which it lies in memory."""
    numbers = parameters[0].new_empty(sum(one.numel() for one in parameters))
    for view, one in zip(views(parameters, numbers), parameters, strict=True):
        view.copy_(one.detach())
    return numbers


def _dense_strides(one: torch.Tensor) -> tuple[int, ...]:
    return torch.empty_like(one, device="meta").stride()


def sharing(module: AnyModule) -> AnyModule:
    """A copy whose parameters lie where those of `module` do."""
    same = {id(one): nn.Parameter(one.data, one.requires_grad) for one in module.parameters()}
    return copy.deepcopy(module, same)


def _start() -> None:
    """As `threads.busy` for one thread; for good, as the thread has no other work."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
