"""What the database says of a key or a tenant, known for a second: looked up once, however many ask at the same time.

A second after the last look-up every connection would ask the database at once, and all of them wait for one another. Here those
that come together share one look-up, and one that is known is looked up anew before its second ends, while requests go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

LASTS_S: Final = 1.0  # how late another server's change is known here
AHEAD_S: Final = 0.5  # before its end, what is asked for is looked up anew
MOST: Final = 10_000

T = TypeVar("T")


@dataclass
class LookUps(Generic[T]):
    """Of the event loop, but for what `read` does. `clock`: seconds that only grow."""

    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[T, float]] = field(default_factory=dict)
    _reading: dict[str, asyncio.Task[T]] = field(default_factory=dict)

    async def get(self, name: str, read: Callable[[], T]) -> T:
        """What was read within the last second, else what `read` finds now, in a thread; it may have begun for somebody else.
        Raises what `read` raises.
        """
        found, now = self._known.get(name), self.clock()
        if found is None or now >= found[1]:
            return await asyncio.shield(self._begun(name, read))
        if now >= found[1] - AHEAD_S:
            self._begun(name, read)
        return found[0]

    def forget(self) -> None:
        """All of it has changed: what is being read now, nobody gets but who waits for it already."""
        self._known.clear()
        self._reading.clear()

    def _begun(self, name: str, read: Callable[[], T]) -> asyncio.Task[T]:
        task = self._reading.get(name)
        if task is None:
            task = self._reading[name] = asyncio.create_task(asyncio.to_thread(read))
            task.add_done_callback(partial(self._ended, name))
        return task

    def _ended(self, name: str, task: asyncio.Task[T]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._reading.get(name) is not task:
            return
        del self._reading[name]
        if failed:
            self._known.pop(name, None)
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[name] = task.result(), self.clock() + LASTS_S
