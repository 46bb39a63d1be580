"""The replicas of one version: as many as its requests need, within bounds; none where nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.deployments import Scaling
from sixfold.service.domain.errors import Unavailable
from sixfold.service.gateway.replica import ReplicaProcess

MOST_WAITING: Final = (
    256  # requests that wait for a version to start; further ones are refused at once
)
RETRY_S: Final = 5.0  # after a replica that did not come up


@dataclass
class VersionPool:
    """`start`: makes a replica that answers, or raises Unavailable."""

    start: Callable[[], Awaitable[ReplicaProcess]]
    scaling: Scaling
    replicas: list[ReplicaProcess] = field(default_factory=list)
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
        """The one with the fewest requests in work; the first request to a version that sleeps wakes it. Raises Unavailable."""
        self._used_at = time.monotonic()
        chosen = self._least_busy()
        if chosen is None:
            chosen = await self._wait()
        chosen.in_work += 1
        if chosen.in_work > self.scaling.target_queue and self._total() < self.scaling.most:
            self._grow()
        try:
            yield chosen
        finally:
            chosen.in_work -= 1
            self._used_at = chosen.used_at = time.monotonic()

    async def ready(self) -> None:
        """At least one replica answers. Raises Unavailable."""
        if self._least_busy() is None:
            await self._wait()

    def look(self) -> None:
        """About once a second: dead replicas are replaced, idle ones end."""
        for one in [each for each in self.replicas if not each.alive]:
            self.replicas.remove(one)
        now = time.monotonic()
        sleep_after_s = self.scaling.sleep_after_s
        idle = sleep_after_s is not None and now - self._used_at > sleep_after_s
        least = 0 if idle and self.scaling.least == 0 else max(self.scaling.least, 0)
        if self._total() < least and now - self._failed_at > RETRY_S:
            self._grow()
        surplus = [one for one in self.replicas if one.in_work == 0]
        spare_s = sleep_after_s if sleep_after_s is not None else 60.0
        for one in surplus[: max(0, len(self.replicas) - max(least, 0 if idle else 1))]:
            if now - one.used_at > spare_s:
                self.replicas.remove(one)
                self._in_background(one.stop())

    async def close(self) -> None:
        """Requests in work are finished first."""
        self.closed = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(one.stop() for one in self.replicas))
        self.replicas.clear()

    def _least_busy(self) -> ReplicaProcess | None:
        alive = [one for one in self.replicas if one.alive]
        return min(alive, key=lambda one: one.in_work, default=None)

    def _total(self) -> int:
        return len(self.replicas) + len(self._starting)

    async def _wait(self) -> ReplicaProcess:
        if self.waiting >= MOST_WAITING:
            raise Unavailable(
                "the deployment",
                "fewer requests that wait for its start",
                str(self.waiting),
                "Ask again.",
            )
        self.waiting += 1
        try:
            async with self._changed:
                while (chosen := self._least_busy()) is None:
                    if self.closed:
                        raise Unavailable(
                            "the deployment", "one that answers", "one that ends", "Ask again."
                        )
                    if not self._starting:
                        if time.monotonic() - self._failed_at < RETRY_S:
                            raise Unavailable(
                                "the deployment",
                                "one that answers",
                                self.failure,
                                "Look at its state.",
                            )
                        self._grow()
                    await self._changed.wait()
                return chosen
        finally:
            self.waiting -= 1

    def _grow(self) -> None:
        task = asyncio.create_task(self._started())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self) -> None:
        made = None
        try:
            made = await self.start()
            self.failure = ""
        except Unavailable as error:
            self._failed_at, self.failure = time.monotonic(), str(error)
        async with self._changed:
            if made is not None:
                self.replicas.append(made)
            task = asyncio.current_task()
            if task is not None:
                self._starting.discard(task)
            self._changed.notify_all()

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        _ENDING.add(task)
        task.add_done_callback(_ENDING.discard)


_ENDING: set[asyncio.Future[None]] = set()  # tasks that nobody else holds
