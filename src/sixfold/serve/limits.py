"""What a request may take: bytes of a body, seconds of sending it, a place in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from sixfold.core.units import show_bytes
from sixfold.serve.errors import Refusal

WAITING: Final = 4  # requests that may wait, for each one in work; guessed
BODY_TIMEOUT_S: Final = 30.0  # of sending a whole body; guessed

T = TypeVar("T")


class Gate:
    """At most `concurrency` requests in work and four times as many waiting; the next one is refused at once."""

    def __init__(self, concurrency: int) -> None:
        self.places = concurrency * (1 + WAITING)
        self.inside = 0
        self._concurrency = concurrency
        self._threads: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those in work or waiting. Raises Refusal 503."""
        if self.inside >= self.places:
            raise Refusal(
                503,
                "the server",
                f"at most {self.places} requests at once",
                "more",
                "Send the request again in a second.",
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def work(self, function: Callable[[], T]) -> T:
        """Run in a thread when it is this request's turn: onnxruntime lets other threads run meanwhile."""
        if self._threads is None:  # belongs to the running event loop
            self._threads = anyio.CapacityLimiter(self._concurrency)
        return await anyio.to_thread.run_sync(function, limiter=self._threads)


async def read_body(request: Request, largest: int) -> bytes:
    """The body, counted while it comes in: a Content-Length is not believed. Raises Refusal 400, 408 or 413."""
    too_large = Refusal(
        413, "the body", f"at most {show_bytes(largest)}", "more", "Send fewer rows a request, or raise serve.max_body."
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > largest:
        raise too_large
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "Content-Encoding", "identity", "a compressed body", "Send the body as it is.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > largest:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "the body", f"all of it within {BODY_TIMEOUT_S:g} s", "less", "Send it faster.") from None
    except ClientDisconnect:
        raise Refusal(400, "the body", "all of it", "a closed connection", "Send it again.") from None
    return b"".join(parts)
