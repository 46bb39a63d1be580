"""What a step of a module takes, without taking it: the gradient of a few rows is traced, and a line drawn to all of them;
of a large module that of tensors that have shapes and no numbers.

torch's fake tensors and its device `meta` say the same; they bring in its compiler (1 s, 83 MB, measured), which is
nothing beside a large module, and much beside a small one.
"""

from __future__ import annotations

import copy
import weakref
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from sixfold.parts.draws import own_draws
from sixfold.train.mixed_precision import halved

FEW: Final = (
    2  # rows that are traced with their numbers, and one more: a batch norm takes no single one
)
# Of a network with convolutions a process holds so many times what its tensors take: copies in other layouts, and what the C
# library does not give back. Measured with residual networks (bench/plan.py steps: 1.75 and 2.0); of linear layers 0.9 to 1.0.
CONVOLVED: Final = 1.8
LARGE: Final = 60_000_000  # numbers of a module that is traced without them: a row takes longer than the compiler's import


class StepCost(NamedTuple):
    """Of the gradient of some rows. `peak_bytes`: the most that is alive at once, parameters and their gradients not
    counted; `flops`: of matrix products, a product and its sum counted as two; `calls`: operations that torch is asked
    for; `moved_bytes`: that they read and write.
    """

    peak_bytes: int
    flops: float
    calls: int
    moved_bytes: float


def step_cost(module: nn.Module, x: torch.Tensor, rows: int, half: bool = False) -> StepCost:
    """Of the gradient of `rows` rows like the first one of `x` [some, …]; `half`: with products in bfloat16. Raises
    RuntimeError where a large module's forward pass depends on the numbers that it meets.
    """
    if sum(one.numel() for one in module.parameters()) > LARGE:
        shape = (rows, *x.shape[1:])
        return _traced(module, torch.empty(shape, dtype=x.dtype, device="meta"), half)
    few, more = (
        _traced(module, x[:1].expand(count, *x.shape[1:]).clone(), half) for count in (FEW, FEW + 1)
    )
    others = rows - FEW
    return StepCost(
        few.peak_bytes + others * (more.peak_bytes - few.peak_bytes),
        few.flops + others * (more.flops - few.flops),
        more.calls,
        few.moved_bytes + others * (more.moved_bytes - few.moved_bytes),
    )


def _traced(module: nn.Module, x: torch.Tensor, half: bool) -> StepCost:
    tracker, copied = _Tracker(), _copy(module, x.device).train()
    for one in copied.parameters():
        if one.requires_grad:
            one.register_post_accumulate_grad_hook(_forget)  # type: ignore[no-untyped-call]
    made_there = x.device if x.is_meta else nullcontext()
    with own_draws(), made_there, torch.enable_grad(), tracker:
        with halved(torch.device("cpu"), half):
            outputs: Any = copied(x)
        outputs = outputs.float() if half else outputs
        loss = torch.log_softmax(outputs, -1).sum()
        del outputs
        loss.backward()  # type: ignore[no-untyped-call]
    peak = int(tracker.most * (CONVOLVED if tracker.convolves else 1.0)) + x.nbytes
    return StepCost(peak, tracker.flops, tracker.calls, tracker.moved_bytes)


def _copy(module: nn.Module, device: torch.device) -> nn.Module:
    """With parameters that share their numbers, where these are wanted, and have gradients of their own."""
    same: dict[int, Any] = {}
    for one in module.parameters():
        numbers = one.detach() if device.type == "cpu" else torch.empty_like(one, device=device)
        same[id(one)] = nn.Parameter(numbers, one.requires_grad)
    for buffer in module.buffers():
        same[id(buffer)] = (
            buffer.clone() if device.type == "cpu" else torch.empty_like(buffer, device=device)
        )
    return copy.deepcopy(module, same)


def _forget(parameter: torch.Tensor) -> None:
    """In a training it has been added to what is there."""
    parameter.grad = None


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what every operation makes, for as long as something holds it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = self.most = 0
        self.flops = self.moved_bytes = 0.0
        self.calls = 0
        self.convolves = False
        self.seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Of torch's: whether its compiler is brought in, to be told that it has no part in this."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As `TorchDispatchMode` asks for it."""
        made = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
        before = self.alive
        for one in tensors:
            self._hold(one)
        self.convolves = self.convolves or func._overloadpacket is torch.ops.aten.convolution
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=made)
        if self.alive > before:  # a view moves nothing
            read = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
            self.moved_bytes += sum(one.nbytes for one in [*tensors, *read])
            self.calls += 1
        return made

    def _hold(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self.seen:
            return
        size = storage.nbytes()
        self.seen[storage] = size
        weakref.finalize(storage, self._free, size)
        self.alive += size
        self.most = max(self.most, self.alive)

    def _free(self, size: int) -> None:
        self.alive -= size
