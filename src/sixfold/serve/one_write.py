"""Head and body of an answer leave in one write: uvicorn writes them one after the other, and both asyncio and uvloop send each
at once, as a packet of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD: Final = b"HTTP/1.1 "
CONTINUE: Final = b"HTTP/1.1 100"


class JoinedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with httptools where that is installed, else with h11; on a transport that joins head and body."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        self.joined = JoinedTransport(transport)
        super().connection_made(self.joined)

    def on_response_complete(self) -> None:
        """An answer was written, maybe one without a body."""
        self.joined.flush()
        super().on_response_complete()


class JoinedTransport(asyncio.Transport):
    """Keeps the head of an answer until more is written, the answer is complete, or the connection is closed."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it, with the head before it; a head waits."""
        if data[: len(HEAD)] == HEAD and data[: len(CONTINUE)] != CONTINUE and not self._head:
            self._head = bytes(data)
        elif self._head:
            head, self._head = self._head, b""
            self._inner.write(head + data)
        elif data:
            self._inner.write(data)

    def flush(self) -> None:
        """Send a head that waits."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Once all is sent."""
        self.flush()
        self._inner.close()

    def abort(self) -> None:
        """At once."""
        self._head = b""
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether no more may be written."""
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection: its socket, its addresses."""
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """uvicorn's, while a body waits to be read."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Of the next part."""
        self._inner.resume_reading()
