"""Head and body of an answer leave in one write: uvicorn writes them one after the other, and both asyncio and uvloop send each
at once, as a packet of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class JoinedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with httptools where that is installed, else with h11; on a transport that joins writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        super().connection_made(JoinedTransport(transport, asyncio.get_running_loop()))


class JoinedTransport(asyncio.Transport):
    """Sends what is written in one round of the loop as one piece."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = inner, loop
        self._parts: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send soon."""
        if not data:
            return
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Once all is sent."""
        self._send()
        self._inner.close()

    def abort(self) -> None:
        """At once."""
        self._parts.clear()
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

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._inner.is_closing():
            self._inner.write(b"".join(parts))
