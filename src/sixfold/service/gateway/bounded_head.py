"""The connections of the service: a client's head without end is closed, as httptools alone would keep all of it, and an answer
leaves in one write.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sixfold.serve.one_write import JoinedTransport

LONGEST_HEAD: Final = 64 << 10  # bytes


class PromptTransport(JoinedTransport):
    """A head without a body yet, of a stream, leaves in this round of the event loop; and it closes as asyncio does."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(inner)
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it; a head goes with what is written next, or soon."""
        super().write(data)
        if self._head:
            self._loop.call_soon(self.flush)

    def close(self) -> None:
        """Once all is sent."""
        self.flush()
        self._inner.close()


class BoundedHead(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with httptools where that is installed, else with h11."""

    head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        super().connection_made(PromptTransport(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        cycle: Any = self.cycle
        super().data_received(data)
        if self.cycle is not cycle or (cycle is not None and not cycle.response_complete):
            self.head_bytes = 0
            return
        self.head_bytes += len(data)
        if self.head_bytes > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head is too long.")
