"""The replicas of one version: as many as its requests need, within bounds; none where nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.errors import SixfoldError
from sixfold.service.domain.deployments import Scaling
from sixfold.service.domain.errors import Unavailable
from sixfold.service.gateway.batching import PoolClosed, RowBatches, WholeAnswer, may_join
from sixfold.service.gateway.replica import DRAIN_S, ReplicaProcess
from sixfold.service.gateway.wire import ReplicaRequest

# Requests that wait for a version to start, and that one replica is given at once; further ones are refused at once. Guessed.
MOST_WAITING: Final = 256
MOST_IN_WORK: Final = 256
RETRY_S: Final = 5.0  # after a replica that did not come up
SPARE_S: Final = 60.0  # without a request, before a second replica ends


@dataclass
class VersionPool:
    """`start`: makes a replica that answers, or raises Unavailable."""

    start: Callable[[], Awaitable[ReplicaProcess]]
    scaling: Scaling
    replicas: list[ReplicaProcess] = field(default_factory=list)
    batches: RowBatches = field(default_factory=RowBatches)
    waiting: int = 0
    closed: bool = False
    failure: str = ""
    _starting: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _failed_at: float = float("-inf")
    _used_at: float = field(default_factory=time.monotonic)

    @property
    def in_work(self) -> int:
        """Requests that are answered now."""
        return sum(one.in_work for one in self.replicas)

    @property
    def asleep(self) -> bool:
        """No replica, and none on its way."""
        return not self.replicas and not self._starting

    @contextlib.asynccontextmanager
    async def replica(self) -> AsyncIterator[ReplicaProcess]:
        """The one with the fewest requests in work; the first request to a version that sleeps wakes it. Raises Unavailable,
        PoolClosed.
        """
        chosen = self.take() or await self._taken()
        try:
            yield chosen
        finally:
            self.give_back(chosen)

    def take(self) -> ReplicaProcess | None:
        """The one with the fewest requests in work, with one more; None where none is up. To be given back. Raises
        Unavailable where all have too many.
        """
        self._used_at = time.monotonic()
        chosen = None if self.closed else self._least_busy()
        if chosen is None:
            return None
        if chosen.in_work >= MOST_IN_WORK:
            raise _full(f"{MOST_IN_WORK} a replica")
        chosen.in_work += 1
        waiting = chosen.in_work + self.batches.waiting / len(self.replicas)
        if waiting > self.scaling.target_queue and self._total() < self.scaling.most:
            self._grow()
        return chosen

    def give_back(self, chosen: ReplicaProcess) -> None:
        """Its request is answered, or given up."""
        chosen.in_work -= 1
        self._used_at = chosen.used_at = time.monotonic()

    async def ask(self, asked: ReplicaRequest) -> WholeAnswer:
        """The whole answer, to this request alone. Raises ReplicaGone, Unavailable, PoolClosed."""
        async with self.replica() as chosen:
            answer = await chosen.wire.ask(asked)
            return answer.status, answer.headers, await answer.whole()

    async def ask_together(self, asked: ReplicaRequest) -> WholeAnswer | None:
        """The same, with others that come at the same time; None where the request is not such a one. Raises as `ask`."""
        most = self.scaling.most_together
        if most < 2 or not may_join(asked) or self.closed or not self.replicas:
            return None
        if self.batches.enter(len(self.replicas)):
            try:
                return await self.ask(asked)
            finally:
                self.batches.leave(self.ask, most)
        if self.batches.waiting >= MOST_IN_WORK * len(self.replicas):
            raise _full(f"{MOST_IN_WORK} a replica")
        return await self.batches.join(asked)

    async def ready(self) -> None:
        """At least one replica answers. Raises Unavailable, PoolClosed."""
        if self._least_busy() is None:
            await self._wait()

    def look(self) -> None:
        """About once a second: dead replicas are replaced, idle ones end."""
        for one in [each for each in self.replicas if not each.alive]:
            self.replicas.remove(one)
            one.wire.close()
        now = time.monotonic()
        sleep_after_s = self.scaling.sleep_after_s
        idle = (
            self.scaling.least == 0
            and sleep_after_s is not None
            and now - self._used_at > sleep_after_s
        )
        if self._total() < self.scaling.least and now - self._failed_at > RETRY_S:
            self._grow()
        least = 0 if idle else max(self.scaling.least, 1)
        spare_s = SPARE_S if sleep_after_s is None else sleep_after_s
        unused = [one for one in self.replicas if one.in_work == 0 and now - one.used_at > spare_s]
        for one in unused[: max(0, len(self.replicas) - least)]:
            self.replicas.remove(one)
            _in_background(one.stop())

    async def close(self, drain_s: float = DRAIN_S) -> None:
        """Requests in work are finished first; those that wait for a start ask anew elsewhere."""
        self.closed = True
        starting = tuple(self._starting)
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        async with self._changed:
            self._changed.notify_all()
        replicas, self.replicas = self.replicas, []
        await asyncio.gather(*(one.stop(drain_s) for one in replicas))

    def _least_busy(self) -> ReplicaProcess | None:
        alive = [one for one in self.replicas if one.process.returncode is None]
        return min(alive, key=_in_work_of, default=None)

    def _total(self) -> int:
        return len(self.replicas) + len(self._starting)

    async def _taken(self) -> ReplicaProcess:
        while True:
            await self._wait()
            chosen = self.take()  # in the same round of the event loop: it is still there
            if chosen is not None:
                return chosen

    async def _wait(self) -> None:
        if self.waiting >= MOST_WAITING:
            raise _full(f"{MOST_WAITING} that wait for its start")
        self.waiting += 1
        try:
            async with self._changed:
                while self.closed or self._least_busy() is None:
                    if self.closed:
                        raise PoolClosed
                    if not self._starting:
                        self._check_failure()
                        self._grow()
                    await self._changed.wait()
        finally:
            self.waiting -= 1

    def _check_failure(self) -> None:
        if time.monotonic() - self._failed_at < RETRY_S:
            raise Unavailable(
                "the deployment",
                "one that answers",
                self.failure,
                "Look at its state.",
                int(RETRY_S),
            )

    def _grow(self) -> None:
        if self._starting or self.closed:  # one after the other: each takes a core while it starts
            return
        task = asyncio.create_task(self._started())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self) -> None:
        made = None
        try:
            made = await self.start()
            self.failure = ""
        except (SixfoldError, OSError) as error:
            self._failed_at, self.failure = time.monotonic(), str(error)
        if made is not None and self.closed:
            await made.stop()
            return
        if made is not None:
            self.replicas.append(made)
        async with self._changed:
            task = asyncio.current_task()
            if task is not None:
                self._starting.discard(task)
            self._changed.notify_all()


def _in_work_of(one: ReplicaProcess) -> int:
    return one.in_work


def _full(most: str) -> Unavailable:
    return Unavailable("the deployment", f"at most {most} at once", "more", "Ask again.")


def _in_background(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


_ENDING: set[asyncio.Future[None]] = set()  # tasks that nobody else holds


async def all_ended() -> None:
    """Of the replicas that end in the background."""
    await asyncio.gather(*_ENDING, return_exceptions=True)
