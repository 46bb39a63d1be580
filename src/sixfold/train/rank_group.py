"""What ranks that train one network together tell one another: sums of gradients, and what rank 0 decides.

Every rank goes through the same steps of the loop with the same weights. What depends on the clock, on files or on rows
that are watched, rank 0 decides, and the others are told.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psutil
import torch
import torch.distributed as dist

from sixfold.core.errors import SixfoldError, SystemFault

SMALL: Final = 1 << 18  # numbers that are copied together and summed by one call: guessed
MEET_S: Final = 120.0  # until all have come, who are ready for it
INTERFACE: Final = "GLOO_SOCKET_IFNAME"
Lost = Callable[[str], SixfoldError]


def ended(text: str) -> SixfoldError:
    """What a rank above 0 says of it; rank 0 knows more."""
    return SystemFault("budget.data_parallel", "an answer of every rank", text, "See rank 0's.")


@dataclass(frozen=True)
class RankGroup:
    """`count` ranks, of which this is number `rank`. `lost`: the error to raise where one does not answer; `members`: of
    torch.distributed. One alone asks nobody.
    """

    rank: int = 0
    count: int = 1
    lost: Lost = ended
    members: dist.ProcessGroup | None = None

    def share(self, rows: int) -> range:
        """Those of `rows` rows that this rank computes: neighbors, and none where there are fewer than ranks."""
        return range(rows * self.rank // self.count, rows * (self.rank + 1) // self.count)

    def sum(self, *tensors: torch.Tensor) -> None:
        """Of each the sum over all ranks, in place; the same bits in every rank."""
        if self.count == 1:
            return
        small = [one for one in tensors if one.numel() <= SMALL]
        for one in tensors:
            if one.numel() > SMALL:
                self._all_reduce(one)
        if not small:
            return
        together = torch.cat([one.reshape(-1) for one in small])
        self._all_reduce(together)
        start = 0
        for one in small:
            one.copy_(together[start : start + one.numel()].view(one.shape))
            start += one.numel()

    def agree(self, yes: bool) -> bool:
        """What rank 0 says."""
        return yes if self.count == 1 else bool(self._told([float(yes)])[0])

    def values(self, find: Callable[[], Sequence[float | None]], count: int) -> list[float | None]:
        """`count` values that rank 0 finds."""
        if self.count == 1:
            return list(find())
        found = find() if self.rank == 0 else [None] * count
        numbers = [0.0 if one is None else one for one in found]
        told = self._told([*numbers, *(float(one is None) for one in found)])
        return [
            None if gone else value for value, gone in zip(told[:count], told[count:], strict=True)
        ]

    def text(self, text: str) -> str:
        """What rank 0 says."""
        if self.count == 1:
            return text
        content = text.encode()
        size = int(self._told([float(len(content))])[0])
        letters = torch.zeros(size, dtype=torch.uint8)
        if self.rank == 0:
            letters = torch.frombuffer(bytearray(content), dtype=torch.uint8) if size else letters
        self._broadcast(letters)
        return bytes(letters.tolist()).decode()

    def check_equal(self, weights: Sequence[torch.Tensor]) -> None:
        """Raises SystemFault where ranks end with other weights: no training may go on from there."""
        if self.count == 1:
            return
        sha = hashlib.sha256()
        for one in weights:
            sha.update(one.detach().cpu().contiguous().numpy().tobytes())
        own = torch.frombuffer(bytearray(sha.digest()), dtype=torch.uint8)
        first = own.clone()
        self._broadcast(first)
        differing = torch.tensor([float(not torch.equal(own, first))])
        self.sum(differing)
        if differing.item():
            raise SystemFault(
                "budget.data_parallel",
                "the same weights in every rank",
                f"{differing.item():.0f} of {self.count} that differ from those of rank 0",
                "Run it with data_parallel: 1, and report it.",
            )

    def _told(self, values: Sequence[float]) -> list[float]:
        told = torch.tensor(values, dtype=torch.float64)
        self._broadcast(told)
        return list(told.tolist())

    def _all_reduce(self, tensor: torch.Tensor) -> None:
        with answered(self.lost):
            dist.all_reduce(tensor, group=self.members)

    def _broadcast(self, tensor: torch.Tensor) -> None:
        with answered(self.lost):
            dist.broadcast(tensor, 0, group=self.members)


ALONE: Final = RankGroup()


@dataclass(frozen=True)
class Meeting:
    """Where `ranks` processes find one another: the file `store`, which is new; this one is number `rank`. `wait_s`: for
    an answer, before a rank counts as lost.
    """

    store: Path
    rank: int
    ranks: int
    wait_s: float


@contextmanager
def answered(lost: Lost) -> Iterator[None]:
    """Inside, ranks wait for one another. Raises what `lost` says where one does not answer."""
    try:
        yield
    except RuntimeError as error:  # torch's own: a connection broke off, or it took too long
        raise lost(first_line(error)) from error


def first_line(error: Exception) -> str:
    """Of what it says."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


@contextmanager
def joined(meeting: Meeting, lost: Lost = ended) -> Iterator[RankGroup]:
    """Inside, this process is a rank. Raises SystemFault where it is one of another group, or the others do not come."""
    if dist.is_initialized():
        raise SystemFault(
            "budget.data_parallel",
            "a process that belongs to no group of torch.distributed",
            "one that does",
            "Run it in a process of its own.",
        )
    store = dist.FileStore(str(meeting.store), meeting.ranks)  # type: ignore[attr-defined]
    try:
        with _loopback(), answered(lost):
            dist.init_process_group(
                "gloo",
                store=store,
                rank=meeting.rank,
                world_size=meeting.ranks,
                timeout=timedelta(seconds=MEET_S),
            )
            waits = timedelta(seconds=meeting.wait_s)
            members = dist.new_group(timeout=waits, backend="gloo")
        yield RankGroup(meeting.rank, meeting.ranks, lost, members)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _loopback() -> Iterator[None]:
    """Inside, gloo listens where no other machine can reach it, unless the environment names an interface."""
    before = os.environ.get(INTERFACE)
    names = [
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(one.family == socket.AF_INET and one.address == "127.0.0.1" for one in addresses)
    ]
    if before is None and names:
        os.environ[INTERFACE] = names[0]
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(INTERFACE, None)
