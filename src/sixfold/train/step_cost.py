"""What a step of a module takes, without taking it: its gradient is traced with torch's fake tensors, which have shapes
and no numbers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class StepCost(NamedTuple):
    """Of the gradient of some rows. `peak_bytes`: the most that is alive at once, parameters and their gradients not
    counted; `flops`: multiplications and additions of matrix products, each counted; `calls`: operations that torch is
    asked for; `moved_bytes`: that they read and write.
    """

    peak_bytes: int
    flops: float
    calls: int
    moved_bytes: float


def step_cost(module: nn.Module, x: torch.Tensor, rows: int, learned: bool = True) -> StepCost:
    """Of `rows` rows like those of `x` [some, …]. `learned`: forward and backward; else forward alone. Raises what torch
    raises where a forward pass depends on the numbers that it meets.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    tracker = _Tracker()
    with mode:
        parameters = {
            name: nn.Parameter(_alike(value), value.requires_grad)
            for name, value in module.named_parameters()
        }
        buffers = {name: _alike(value) for name, value in module.named_buffers()}
        inputs = torch.empty((rows, *x.shape[1:]), dtype=x.dtype, device=x.device)
        for one in parameters.values() if learned else ():
            one.requires_grad and one.register_post_accumulate_grad_hook(_forget)
        with torch.set_grad_enabled(learned), tracker:
            outputs: Any = torch.func.functional_call(module, {**parameters, **buffers}, (inputs,))
            loss = torch.log_softmax(outputs, -1).sum()
            del outputs
            if learned:
                loss.backward()  # type: ignore[no-untyped-call]
    peak = tracker.most + inputs.nbytes
    return StepCost(peak, tracker.flops, tracker.calls, tracker.moved_bytes)


def _alike(value: torch.Tensor) -> torch.Tensor:
    return torch.empty(value.shape, dtype=value.dtype)


def _forget(parameter: torch.Tensor) -> None:
    """In a training it has been added to what is there."""
    parameter.grad = None


class _Tracker(TorchDispatchMode):
    """Counts what every operation makes, for as long as something holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0
        self.flops = self.moved_bytes = 0.0
        self.calls = 0
        self.seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As `TorchDispatchMode` asks for it."""
        made = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
        before = self.alive
        for one in tensors:
            self._hold(one)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=made)
        if self.alive > before:  # a view moves nothing
            read = [one for one in tree_leaves((args, kwargs)) if isinstance(one, FakeTensor)]
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
