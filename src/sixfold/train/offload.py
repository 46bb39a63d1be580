"""What an optimizer remembers (the means of Adam, a momentum), kept outside of the memory where it trains: in mapped files of
the scratch folder, or in the host's pinned memory beside a GPU.

The parameters are stepped a piece at a time, each by an optimizer of its own, so that the state of one piece alone is held.
An optimizer that works on each number alone gives the same bits piece by piece (Rajbhandari and others, ZeRO-Infinity, 2021,
which streams the states in such tiles).
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes
from sixfold.parts.scratch import SCRATCH
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.schema import Train
from sixfold.runs.memory import give_back
from sixfold.train.optimizer import OptimizerSettings
from sixfold.train.optimizers._pair import Pair

PIECE: Final = (
    1 << 24
)  # numbers that are stepped at once: 64 MB of each mean; a multiple of every vector's width
LEAST: Final = (
    1 << 12
)  # numbers of what is kept outside: counters and small vectors stay, as a file of each would be too many


Make = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


def remembered(train: Train) -> float:
    """Numbers that the optimizer keeps of each weight; as of Adam, where it is not chosen yet."""
    options = {key: value for key, value in train.optimizer.items() if value != "auto"}
    settings: OptimizerSettings = OPTIMIZER.make(options | {"name": train.optimizer["name"]})
    return settings.remembers


def pieces_of(matrix: torch.Tensor) -> list[torch.Tensor]:
    """Views of θ or ∇ [1, P]: what is stepped at once."""
    return list(torch.split(matrix, PIECE, dim=1))


class OffloadedOptimizer(Pair):
    """`make`: an optimizer of some parameters; `parameters`: [1, piece] each, or any shapes, which are put together to
    pieces.
    """

    def __init__(self, make: Make, parameters: Sequence[nn.Parameter]) -> None:
        self.stepped = list(parameters)
        self.outside: dict[_Remembered, _Outside] = {}  # by the parameter's id
        made = []
        for group in _grouped(self.stepped):
            made.append(make(group))
            self._put_away(made[-1])
        super().__init__(made)

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of each piece."""
        for part in self.parts:
            self._held(part, part.step)

    def evaluating(self, on: bool) -> None:
        """Of a schedule-free optimizer: whether the parameters are the model, or where it trains."""
        for part in self.parts:
            change: Any = part
            self._held(part, change.eval if on else change.train)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of `state_dict`."""
        super().load_state_dict(state_dict)
        for part in self.parts:
            self._put_away(part)

    def go_on_from(self, before: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        """With the state of another optimizer, of the same numbers in the same order."""
        seats = {id(one): seat for seat in _seats(before) for one in seat.group["params"]}
        origins = _origins(self.stepped, parameters)
        for part in self.parts:
            for seat in _seats(part):
                for one in seat.group["params"]:
                    origin = origins[id(one)]
                    old = seats[id(origin.parameter)]
                    seat.group.update({k: v for k, v in old.group.items() if k != "params"})
                    for name, value in old.optimizer.state.get(origin.parameter, {}).items():
                        seat.optimizer.state[one][name] = origin.part(value, one)
            self._put_away(part)

    def _held(self, part: torch.optim.Optimizer, work: Callable[[], Any]) -> None:
        """`work` on a piece, with its state where its parameters are."""
        for seat in _seats(part):
            for one, state in seat.optimizer.state.items():
                for name, value in state.items():
                    if (
                        isinstance(value, torch.Tensor)
                        and _Remembered(id(one), name) in self.outside
                    ):
                        state[name] = value.to(one.device)
        work()
        self._put_away(part)

    def _put_away(self, part: torch.optim.Optimizer) -> None:
        """What a piece remembers goes outside, and its memory back to the system."""
        known = len(self.outside)
        for seat in _seats(part):
            for one, state in seat.optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, torch.Tensor) and value.numel() >= LEAST:
                        state[name] = self._place(_Remembered(id(one), name), value).taken(value)
        if len(self.outside) > known:
            give_back()  # the C library keeps what was freed of tensors of this size: measured

    def _place(self, key: _Remembered, like: torch.Tensor) -> _Outside:
        if key not in self.outside:
            self.outside[key] = _outside(like)
        return self.outside[key]


class _Remembered(NamedTuple):
    """A value of the state of a parameter, which is known by its id."""

    parameter: int
    name: str


class _Outside(NamedTuple):
    """A tensor that takes no memory where it is trained; `file`: that it is mapped from, None for pinned memory."""

    tensor: torch.Tensor
    file: mmap.mmap | None

    def taken(self, value: torch.Tensor) -> torch.Tensor:
        """The tensor with what `value` holds; its pages are the system's to write, and read again when they are asked for."""
        if value is not self.tensor:
            self.tensor.copy_(value)
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)  # of a shared file: nothing is lost
        return self.tensor


class _Seat(NamedTuple):
    """A group of parameters in the optimizer that has it, itself no pair of others."""

    optimizer: torch.optim.Optimizer
    group: dict[str, Any]


class _Origin(NamedTuple):
    """Where the numbers of a parameter were before: from `first` on in `parameter`."""

    parameter: nn.Parameter
    first: int

    def part(self, value: Any, one: nn.Parameter) -> Any:
        """What of a state's value belongs to the parameter `one`."""
        if not isinstance(value, torch.Tensor):
            return value
        if value.shape != self.parameter.shape or value.shape == one.shape:
            return value.clone()
        return value.reshape(-1)[self.first : self.first + one.numel()].view(one.shape)


def _origins(pieces: Sequence[nn.Parameter], whole: Sequence[nn.Parameter]) -> dict[int, _Origin]:
    """Of each of the pieces, by its id."""
    found, at, first = {}, 0, 0
    for one in pieces:
        found[id(one)] = _Origin(whole[at], first)
        first += one.numel()
        if first == whole[at].numel():
            at, first = at + 1, 0
    return found


def _seats(optimizer: torch.optim.Optimizer) -> Iterator[_Seat]:
    if isinstance(optimizer, Pair):
        for part in optimizer.parts:
            yield from _seats(part)
    else:
        for group in optimizer.param_groups:
            yield _Seat(optimizer, group)


def _grouped(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbors that have no more than PIECE numbers together; a larger one is alone."""
    group: list[nn.Parameter] = []
    for one in parameters:
        if group and sum(other.numel() for other in group) + one.numel() > PIECE:
            yield group
            group = []
        group.append(one)
    yield group


def _outside(like: torch.Tensor) -> _Outside:
    """Room for a tensor: beside a GPU in pinned memory, else in a file. Raises BudgetError where the disk has none."""
    if like.device.type != "cpu":
        return _Outside(torch.empty(like.shape, dtype=like.dtype, pin_memory=True), None)
    size = like.nbytes
    if SCRATCH.most_bytes is not None and size > SCRATCH.most_bytes:
        raise _no_room(size, f"budget.disk of {show_bytes(SCRATCH.most_bytes)}")
    with tempfile.TemporaryFile(dir=SCRATCH.folder()) as file:  # no name: it goes with the process
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise _no_room(size, str(error.strerror)) from error
        mapped = mmap.mmap(file.fileno(), size)
    numbers = torch.from_numpy(np.frombuffer(mapped, dtype=np.uint8))
    return _Outside(numbers.view(like.dtype).view(like.shape), mapped)


def _no_room(size: int, found: str) -> BudgetError:
    return BudgetError(
        "budget.disk",
        f"{show_bytes(size)} for what the optimizer remembers",
        found,
        "Raise budget.disk, free some of the disk, or leave out strategy offload.",
    )
