"""Head and body of an answer leave in one write: uvicorn writes them one after the other, and both
asyncio and uvloop send each at once, as a packet of its own. And a connection is closed without a
reset: what was sent last is read by the client, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

HEAD: Final = b"HTTP/1.1 "
CONTINUE: Final = b"HTTP/1.1 100"
LONG: Final = 64 << 10  # bytes of an answer that a client may be slow to take


def _nothing(transport: JoinedTransport) -> None:
    """Whoever waits for long answers: nobody."""


class JoinedTransport(asyncio.Transport):
    """Keeps the head of an answer until more is written, the answer is complete, or the connection
    is closed.

    `closing`: no more is written, and what still comes in is dropped until the client closes, too:
    a socket that is closed with bytes unread resets the connection, and the client loses the
    answer. `gone`: it ends in this round of the event loop. `on_long`: told of a long answer.
    """

    def __init__(
        self, inner: asyncio.Transport, on_long: Callable[[JoinedTransport], None] = _nothing
    ) -> None:
        super().__init__()
        self._inner = inner
        self._head = b""
        self._on_long = on_long
        self.closing = self.gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it, with the head before it; a head waits."""
        if self.closing:
            return
        if data[: len(HEAD)] == HEAD and data[: len(CONTINUE)] != CONTINUE and not self._head:
            self._head = bytes(data)
        elif self._head:
            head, self._head = self._head, b""
            self._inner.write(head + data)
        elif data:
            self._inner.write(data)
        if len(data) > LONG:
            self._on_long(self)

    def flush(self) -> None:
        """Send a head that waits."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Once all is sent: our side now, the connection when the client closes its own, or is too
        slow to.
        """
        if self.closing:
            return
        self.flush()
        self.closing = True
        if self._inner.is_closing():
            return
        self._inner.write_eof()
        self._inner.resume_reading()

    def abort(self) -> None:
        """At once."""
        self._head = b""
        self.closing = self.gone = True
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether no more may be written."""
        return self.closing or self._inner.is_closing()

    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._inner.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection: its socket, its addresses."""
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """uvicorn's, while a body waits to be read."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Of the next part."""
        self._inner.resume_reading()
