"""What a request may take: bytes of a body, seconds of sending it, a place in the queue, the event loop or a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from starlette.types import Receive

from sixfold.core.units import show_bytes
from sixfold.serve.errors import Refusal

WAITING: Final = 4  # requests that may wait, for each one in work; guessed
BODY_TIMEOUT_S: Final = 30.0  # of sending a whole body; guessed
SMALL_BODY: Final = 16 << 10  # bytes that the event loop may parse itself: at most 0.5 ms of JSON here
SHORT_S: Final = 0.001  # work that the event loop may do itself; the way to a thread and back takes 0.1 to 0.3 ms here
SAMPLED: Final = (
    8  # of so many runs in the loop one is timed: asking for a thread's time takes as long as a small model
)
LAST: Final = 0.125  # weight of the last work in the mean that tells how long the next one will take; guessed

T = TypeVar("T")
Headers = Mapping[bytes, bytes]  # lower-case names


class Gate:
    """At most `concurrency` requests in work and four times as many waiting; the next one is refused at once.

    Work that is known to be short is done by the event loop itself; the rest by threads, in which onnxruntime lets the loop run
    on. `seconds`: of processor time, by the bits of the number of rows.
    """

    def __init__(self, concurrency: int) -> None:
        self.places = concurrency * (1 + WAITING)
        self.inside = 0
        self.seconds: dict[int, float] = {}
        self._concurrency = concurrency
        self._runs = 0
        self._threads: anyio.CapacityLimiter | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those in work or waiting. Raises Refusal 503."""
        if self.inside >= self.places:
            found = f"at most {self.places} requests at once"
            raise Refusal(503, "the server", found, "more", "Send the request again in a second.")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def work(self, function: Callable[[], T], rows: int | None = None) -> T:
        """Run at once where that is short, else in a thread when it is this request's turn. `rows`: None where not known."""
        threads = self._limiter()
        size = 0 if rows is None else rows.bit_length()
        known = self.seconds.get(size)
        if rows is not None and known is not None and known < SHORT_S and threads.available_tokens > 0:
            self._runs += 1
            if self._runs % SAMPLED:
                return function()
            found, seconds = timed(function)
        else:
            found, seconds = await anyio.to_thread.run_sync(timed, function, limiter=threads)
        seconds = min(seconds, 4 * SHORT_S)  # a single slow one changes little
        self.seconds[size] = seconds if known is None else known + LAST * (seconds - known)
        return found

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._threads is None:  # belongs to the running event loop
            self._threads = anyio.CapacityLimiter(self._concurrency)
        return self._threads


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Its result, and the seconds of this thread's own work: what others do meanwhile does not count."""
    started = time.thread_time()
    found = function()
    return found, time.thread_time() - started


async def read_body(headers: Headers, receive: Receive, largest: int) -> bytes:
    """The body, counted while it comes in: a Content-Length is not believed. Raises Refusal 400, 408, 413 or 415."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > largest:
        raise _too_large(largest)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal(415, "Content-Encoding", "identity", "a compressed body", "Send the body as it is.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the body", "all of it", "a closed connection", "Send it again.")
                more = message.get("more_body", False)
                part = message.get("body", b"")
                size += len(part)
                if size > largest:
                    raise _too_large(largest)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "the body", f"all of it within {BODY_TIMEOUT_S:g} s", "less", "Send it faster.") from None
    return b"".join(parts)


def _too_large(largest: int) -> Refusal:
    remedy = "Send fewer rows a request, or raise serve.max_body."
    return Refusal(413, "the body", f"at most {show_bytes(largest)}", "more", remedy)
