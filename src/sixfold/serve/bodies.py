"""Bodies while they come in: counted, timed, and held within a budget that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import Receive

from sixfold.core.units import show_bytes
from sixfold.serve.errors import Refusal
from sixfold.serve.limits import LARGE_BODY, Headers

BODY_TIMEOUT_S: Final = 30.0  # of sending a whole body; guessed
PATIENCE_S: Final = 5.0  # that a large body may take while others wait for its room; guessed
SMALL_HELD: Final = 8 << 20  # bytes of all bodies that have come in part; guessed
LARGE_HELD: Final = 1.5  # large bodies of the largest size; guessed


class Incoming:
    """A body of which more comes. `size`: the bytes that it holds or has reserved."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.content = bytearray()
        self.size = 0
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()

    def age_s(self) -> float:
        """Since its first part."""
        return self._loop.time() - self.started

    def give_up(self) -> None:
        """As if its time had run out."""
        self._timeout.reschedule(self._loop.time())


class Pool:
    """`limit` bytes for bodies that come in. Where they do not suffice, the one that has been
    coming for longest, and for longer than `patience_s`, is given up for the next; else the next
    one is refused.
    """

    def __init__(self, limit: int, patience_s: float) -> None:
        self.limit, self.patience_s = limit, patience_s
        self.used = 0
        self._coming: dict[Incoming, None] = {}

    def take(self, body: Incoming, size: int) -> None:
        """So many bytes more. Raises Refusal 503."""
        while self.used + size > self.limit:
            oldest = next((one for one in self._coming if one is not body), None)
            if oldest is None or oldest.age_s() < self.patience_s:
                found = f"at most {show_bytes(self.limit)} of bodies at once"
                raise Refusal(
                    503, "the server", found, "more", "Send the request again in a second."
                )
            oldest.give_up()
            self.free(oldest)
        self._coming[body] = None
        self.used += size
        body.size += size

    def arrived(self, body: Incoming) -> None:
        """All of it is here: it keeps its bytes until it is answered."""
        self._coming.pop(body, None)

    def free(self, body: Incoming) -> None:
        """Its bytes are for others."""
        self._coming.pop(body, None)
        self.used -= body.size
        body.size = 0


class Bodies:
    """Reads the bodies of a server's requests, of at most `largest` bytes each."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.small, self.large = Pool(SMALL_HELD, 0.0), Pool(int(LARGE_HELD * largest), PATIENCE_S)
        self._held: dict[int, Incoming] = {}  # by the id of a large body's content

    async def read(
        self, headers: Headers, receive: Receive, check_room: Callable[[], None]
    ) -> bytes | bytearray:
        """The body, counted while it comes in: a Content-Length is not believed. To be given back
        by `release`.

        `check_room`: whether there will be a place for it; asked where it does not come at once.
        Raises Refusal 400, 408, 413, 415 or 503.
        """
        more = True
        try:
            declared = self._declared(headers)
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise Refusal(
                    415,
                    "Content-Encoding",
                    "identity",
                    "a compressed body",
                    "Send the body as it is.",
                )
            async with asyncio.timeout(BODY_TIMEOUT_S) as timeout:
                first, more = await _next(receive)
                if not more and len(first) <= min(LARGE_BODY, self.largest):
                    return first
                check_room()
                return await self._rest(Incoming(timeout), first, more, receive, declared)
        except TimeoutError:
            remedy = "Send it faster, or again later."
            raise Refusal(
                408, "the body", f"all of it within {BODY_TIMEOUT_S:g} s", "less", remedy
            ) from None
        except Refusal as error:
            error.unread = more
            raise

    def release(self, content: bytes | bytearray) -> None:
        """What `read` gave is no longer needed."""
        held = self._held.pop(id(content), None)
        if held is not None:
            self.large.free(held)

    async def _rest(
        self, body: Incoming, part: bytes, more: bool, receive: Receive, declared: int | None
    ) -> bytes | bytearray:
        pool = self.small
        try:
            if declared is not None and declared > LARGE_BODY:
                pool = self._reserve(body, declared)
            while True:
                size = len(body.content) + len(part)
                if size > self.largest or (pool is self.large and size > body.size):
                    raise self._too_large()
                if pool is self.small:
                    if size > LARGE_BODY:
                        pool = self._reserve(body, self.largest)
                    else:
                        pool.take(body, len(part))
                body.content += part
                if not more:
                    break
                part, more = await _next(receive)
        except BaseException:
            pool.free(body)
            raise
        if pool is self.small:
            pool.free(body)
            return bytes(body.content)
        pool.arrived(body)
        self._held[id(body.content)] = body
        return body.content

    def _reserve(self, body: Incoming, size: int) -> Pool:
        """Room for a large body, before it is held. Raises Refusal 503."""
        self.small.free(body)
        self.large.take(body, size)
        return self.large

    def _declared(self, headers: Headers) -> int | None:
        """What the client says. Raises Refusal 413."""
        text = headers.get(b"content-length", b"")
        if not text.isdigit():
            return None
        declared = int(text[:20])
        if declared > self.largest:
            raise self._too_large()
        return declared

    def _too_large(self) -> Refusal:
        remedy = "Send fewer rows a request, or raise serve.max_body."
        return Refusal(413, "the body", f"at most {show_bytes(self.largest)}", "more", remedy)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    """The next part, and whether more comes. Raises Refusal 400."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Refusal(400, "the body", "all of it", "a closed connection", "Send it again.")
    return message.get("body", b""), message.get("more_body", False)
