"""What the work on a request may take: a place in the queue, the event loop or a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from sixfold.serve.errors import Refusal
from sixfold.serve.freed import give_back

WAITING: Final = 4  # requests that may wait, for each one in work; guessed
LARGE_BODY: Final = (
    128 << 10
)  # bytes of a body that is read piece by piece, and worked on one at a time
SMALL_BODY: Final = (
    16 << 10
)  # bytes that the event loop may parse itself: at most 0.5 ms of JSON here
SHORT_S: Final = 0.001  # work that the event loop may do itself; the way to a thread and back takes 0.1 to 0.3 ms here
SAMPLED: Final = 8  # of so many runs in the loop one is timed: asking for a thread's time takes as long as a small model
LAST: Final = (
    0.125  # weight of the last work in the mean that tells how long the next one will take; guessed
)
# Of a request that is explained: seconds of one thread, about, and rows that the model answers for
# each of its rows.
EXPLAIN_S: Final = 2.0
EXPLAIN_ROWS: Final = 20_000

T = TypeVar("T")
Headers = Mapping[bytes, bytes]  # lower-case names


class Gate:
    """At most `concurrency` requests in work and four times as many waiting; the next one is
    refused at once.

    Work that is known to be short is done by the event loop itself; the rest by threads, in which
    onnxruntime lets the loop run on. `seconds`: of processor time, by the bits of the number of
    rows.
    """

    def __init__(self, concurrency: int) -> None:
        self.places = concurrency * (1 + WAITING)
        self.inside = 0
        self.seconds: dict[int, float] = {}
        self._concurrency = concurrency
        self._runs = 0
        self._threads: anyio.CapacityLimiter | None = None
        self._large = ThreadPoolExecutor(1, "large-body")
        self.in_threads = 0

    def check_room(self) -> None:
        """Raises Refusal 503 while all places are taken."""
        if self.inside >= self.places:
            found = f"at most {self.places} requests at once"
            raise Refusal(503, "the server", found, "more", "Send the request again in a second.")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those in work or waiting, for a request that has come as a whole. Raises
        Refusal 503.
        """
        self.check_room()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def work(self, function: Callable[[], T], rows: int | None = None) -> T:
        """Run at once where that is short, else in a thread when it is this request's turn. `rows`:
        None where not known.
        """
        threads = self._limiter()
        size = 0 if rows is None else rows.bit_length()
        known = self.seconds.get(size)
        if (
            rows is not None
            and known is not None
            and known < SHORT_S
            and threads.available_tokens > 0
        ):
            self._runs += 1
            if self._runs % SAMPLED:
                return function()
            found, seconds = timed(function)
        else:
            found, seconds = await self._in_thread(function)
        seconds = min(seconds, 4 * SHORT_S)  # a single slow one changes little
        self.seconds[size] = seconds if known is None else known + LAST * (seconds - known)
        return found

    async def work_large(self, function: Callable[[], T]) -> T:
        """Run in the one thread for large bodies: what it takes in memory is taken once, and kept
        by one thread's allocator.
        """
        self.in_threads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._large, _and_give_back, function
            )
        finally:
            self.in_threads -= 1

    async def _in_thread(self, function: Callable[[], T]) -> tuple[T, float]:
        self.in_threads += 1
        try:
            return await anyio.to_thread.run_sync(timed, function, limiter=self._limiter())
        finally:
            self.in_threads -= 1

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._threads is None:  # belongs to the running event loop
            self._threads = anyio.CapacityLimiter(self._concurrency)
        return self._threads


def _and_give_back(function: Callable[[], T]) -> T:
    give_back()  # the body before this one, too, is no longer needed
    try:
        return function()
    finally:
        give_back()


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Its result, and the seconds of this thread's own work: what others do meanwhile does not
    count.
    """
    started = time.thread_time()
    found = function()
    return found, time.thread_time() - started
