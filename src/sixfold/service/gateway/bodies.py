"""Bodies of requests on their way to a replica: each is bounded, all of them together too, and none may take forever to come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope

from sixfold.serve.errors import Refusal
from sixfold.service.domain.errors import InvalidRequest, Unavailable

MOST_BODY: Final = 64 << 20
MOST_HELD: Final = 256 << 20  # of all requests at once; guessed
COME_S: Final = 60.0  # for a body of several parts to come as a whole


@dataclass
class HeldBodies:
    """`held_bytes`: of all bodies that are here now."""

    held_bytes: int = 0

    @contextlib.asynccontextmanager
    async def held(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The whole body, which counts until the block ends. Raises Refusal, InvalidRequest, Unavailable."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MOST_BODY):
                raise _too_long()
        body = bytearray()
        try:
            block, more = await _next(receive)
            if not more:
                self._hold(body, block)
                yield block
                return
            try:
                async with asyncio.timeout(COME_S):
                    while True:
                        self._hold(body, block)
                        if not more:
                            break
                        block, more = await _next(receive)
            except TimeoutError:
                found = f"all of it within {COME_S:.0f} s"
                raise Refusal(408, "the body", found, "less", "Send it again.") from None
            yield bytes(body)
        finally:
            self.held_bytes -= len(body)

    def _hold(self, body: bytearray, block: bytes) -> None:
        body += block
        self.held_bytes += len(block)
        if len(body) > MOST_BODY:
            raise _too_long()
        if self.held_bytes > MOST_HELD:
            raise Unavailable("the server", "room for a body", "none", "Ask again.")


async def _next(receive: Receive) -> tuple[bytes, bool]:
    """A part, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise InvalidRequest("the body", "a whole one", "one that ended early", "Send it again.")
    return message.get("body", b""), bool(message.get("more_body"))


def _too_long() -> Refusal:
    return Refusal(
        413, "the body", f"at most {MOST_BODY:,} bytes", "more", "Send fewer rows at a time."
    )
