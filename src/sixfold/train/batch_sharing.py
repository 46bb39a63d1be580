"""A batch among processes: each computes the gradients of some of its parts, on its own cores and
under its own lock of Python (data-parallel training; torch.distributed with gloo).

Only the first process decides: it has the weights, the optimizer and the saved states. For every
gradient it sends the rows and the weights to its helpers, and gets back the gradients of their
parts, which are added in the order of the parts: the same bits as in one process. Helpers are copies
of the process (fork), so that they have its network and its examples without anything being written.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from sixfold.core.errors import SystemFault
from sixfold.parts.table import IntArray

PATIENCE: Final = timedelta(hours=1)  # for the other side of an exchange: a step may take long
HEAD: Final = 6  # numbers before the rows


class BatchOrder(NamedTuple):
    """The gradient that is asked for: of `rows`, batch `number` of its epoch, `step` steps after the
    start; `halved`: in products of half precision; `micro_batch` (0: none) and `recomputed` as in
    `Strategy`.
    """

    rows: IntArray
    number: int
    step: int
    halved: bool
    micro_batch: int
    recomputed: bool


@dataclass
class BatchSharing:
    """One of `size` processes, of which 0 is the run's own. Made by `start`."""

    rank: int
    size: int
    helpers: tuple[int, ...] = ()
    place: tempfile.TemporaryDirectory[str] | None = None  # where all meet, as long as they work

    @classmethod
    def start(cls, size: int, help_with: Callable[[BatchSharing], None]) -> BatchSharing:
        """Fork the helpers, each of which calls `help_with`, which does not return. Raises
        SystemFault.
        """
        if dist.is_initialized():
            raise SystemFault(
                "budget.batch_workers",
                "one training at a time that shares its batches",
                "another one in this process",
                "Leave budget.batch_workers out.",
            )
        place = tempfile.TemporaryDirectory(prefix="sixfold-")  # closed by `end`
        store = Path(place.name) / "store"
        helpers = tuple(_fork(rank, size, store, help_with) for rank in range(1, size))
        _meet(0, size, store)
        return cls(0, size, helpers, place)

    def own(self, count: int) -> range:
        """The parts of a batch, of `count`, that are computed here."""
        return range(self.rank, count, self.size)

    def ask(self, order: BatchOrder, state: torch.Tensor) -> None:
        """Tell the helpers what gradient is wanted, at the weights and buffers `state`."""
        head = torch.tensor([len(order.rows), *order[1:]], dtype=torch.int64)
        with self._telling():
            for each in (head, torch.from_numpy(order.rows), state):
                dist.broadcast(each, 0)

    def asked(self, state: torch.Tensor) -> BatchOrder:
        """What the first process tells, with the weights and buffers written into `state`. Raises
        RuntimeError where it is gone.
        """
        head = torch.empty(HEAD, dtype=torch.int64)
        dist.broadcast(head, 0)
        count, number, step, half, micro, recomputed = head.tolist()
        rows = torch.empty(count, dtype=torch.int64)
        dist.broadcast(rows, 0)
        dist.broadcast(state, 0)
        return BatchOrder(rows.numpy(), number, step, bool(half), micro, bool(recomputed))

    def gathered(
        self, parts: Sequence[tuple[nn.Module, torch.Tensor]], losses: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Of each part (module, gradient) the loss. `losses`: of the own ones. In the first process
        gradients and buffers of the others are written into their parts.
        """
        found = dict(zip(self.own(len(parts)), losses, strict=True))
        if self.rank > 0:
            for number, loss in found.items():
                dist.send(_flat(loss, *parts[number]), 0)
            return list(losses)
        for number, (module, gradient) in enumerate(parts):
            if number in found:
                continue
            came = _flat(losses[0], module, gradient)
            with self._telling():
                dist.recv(came, number % self.size)
            found[number] = came[0].clone()
            sizes = [gradient.numel(), *(buffer.numel() for buffer in _buffers(module))]
            own = [gradient, *_buffers(module)]
            for tensor, values in zip(own, came[1:].split(sizes), strict=True):
                tensor.copy_(values.view_as(tensor))
        return [found[number] for number in range(len(parts))]

    def end(self) -> None:
        """The helpers have nothing to lose."""
        for helper in self.helpers:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(helper, signal.SIGKILL)
                os.waitpid(helper, 0)
        dist.destroy_process_group()
        if self.place is not None:
            self.place.cleanup()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Raises SystemFault where a helper is gone."""
        try:
            yield
        except RuntimeError as error:
            raise SystemFault(
                "budget.batch_workers",
                "processes that help with each batch",
                f"one that ended: {str(error).splitlines()[0][:200]}",
                "Run the same command again: it goes on from the last saved state. Or leave batch_workers out.",
            ) from error


def state_of(theta: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Weights [P], and the buffers of real numbers behind them."""
    return torch.cat([theta, *(b.to(theta.dtype).reshape(-1) for b in _buffers(module))])


def put(state: torch.Tensor, theta: torch.Tensor, module: nn.Module) -> None:
    """What `state_of` gave, into its places."""
    buffers = _buffers(module)
    sizes = [theta.numel(), *(buffer.numel() for buffer in buffers)]
    for tensor, values in zip([theta, *buffers], state.split(sizes), strict=True):
        tensor.copy_(values.view_as(tensor))


def _flat(loss: torch.Tensor, module: nn.Module, gradient: torch.Tensor) -> torch.Tensor:
    rest = (buffer.to(gradient.dtype).reshape(-1) for buffer in _buffers(module))
    return torch.cat([loss.detach().reshape(1).to(gradient.dtype), gradient, *rest])


def _buffers(module: nn.Module) -> list[torch.Tensor]:
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]


def _fork(rank: int, size: int, store: Path, help_with: Callable[[BatchSharing], None]) -> int:
    """The process id of the helper."""
    with warnings.catch_warnings():
        # Python warns of locks that other threads may hold: a helper takes none of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(1)  # a fork has none of torch's other threads
        torch.set_flush_denormal(True)
        _meet(rank, size, store)
        help_with(BatchSharing(rank, size))
    except RuntimeError:  # the first process is gone, or will be told so
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def _meet(rank: int, size: int, store: Path) -> None:
    """All of this machine, by its own address."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo",
        store=dist.FileStore(str(store), size),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
