"""One connection: uvicorn's protocol, held to what a head, the framing of a body and a pipeline may
take.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sixfold.serve.connections import Connections
from sixfold.serve.errors import Refusal, to_json
from sixfold.serve.one_write import JoinedTransport

CLOSE: Final = (b"connection", b"close")
# In the scope of a request: what is called where the client has closed its side before the answer.
ON_LEFT: Final = "sixfold.on_left"
PIECE: Final = (
    16 << 10
)  # bytes that the parser gets at once: at most so many may be requests that wait
LONGEST_HEAD: Final = (
    64 << 10
)  # bytes of a head, and of framing beyond twice the body that it frames
MOST_WAITING: Final = 100  # requests that were sent before the first of them was answered


class Phase(IntEnum):
    """What a connection waits for; the lower, the sooner it is closed where there is no room."""

    CLOSING = 0  # the client's end
    HEAD = 1  # a request, or the rest of its head
    BODY = 2  # the rest of a body
    WORK = 3  # an answer


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's, with httptools where that is installed, else with h11; on a transport that joins
    head and body.
    """

    pipeline: Sequence[Any] = ()  # of httptools alone: requests that wait
    conn: Any = None  # of h11 alone

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.all = connections
        self.framing = 0  # bytes that were neither a whole head nor a body
        self.seen: tuple[Any, ...] = ()  # what the last round over all connections saw, and
        self.since = 0.0  # since when

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        self.joined = JoinedTransport(transport, self.all.long_answer)
        self.since = self.loop.time()
        super().connection_made(self.joined)

    def phase(self) -> Phase:
        """What it waits for."""
        if self.joined.closing:
            return Phase.CLOSING
        if self.cycle is None or self.cycle.response_complete:
            return Phase.HEAD
        return Phase.BODY if self.cycle.more_body else Phase.WORK

    def state(self) -> tuple[Any, ...]:
        """Another one, whenever something has happened here. The cycle itself: its id would soon be
        that of another.
        """
        return self.phase(), self.cycle, self.joined.unsent()

    def data_received(self, data: bytes) -> None:
        """Bytes came in. What is long goes piece by piece, so that little is done before it is seen
        to be too much.
        """
        if len(data) <= PIECE:
            self._take(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), PIECE):
            if self.joined.is_closing():
                return
            self._take(bytes(view[start : start + PIECE]))

    def _take(self, data: bytes) -> None:
        if self.joined.closing:
            return
        cycle = self.cycle
        before = 0 if cycle is None else len(cycle.body)
        super().data_received(data)
        if self.cycle is not cycle:
            self.framing = 0
            self._check_waiting()
        else:
            grown = 0 if cycle is None else len(cycle.body) - before
            self.framing = max(0, self.framing + len(data) - 2 * grown)
            if self.framing > LONGEST_HEAD:
                self.refuse(
                    431,
                    "the head",
                    f"at most {LONGEST_HEAD:,} bytes of headers, or around a body",
                    "more",
                )
        if self.all.stopping:
            self._tell_end()

    def _check_waiting(self) -> None:
        """httptools reads all requests that are there; h11 reads the next one after the answer."""
        if len(self.pipeline) > MOST_WAITING:
            self.joined.abort()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's, of what is no HTTP; in the form that all refusals have."""
        self.refuse(
            400, "the request", "HTTP/1.1", "something else", "Send it with an HTTP client."
        )

    def refuse(
        self, status: int, where: str, expected: str, found: str, remedy: str = "Send less of it."
    ) -> None:
        """Answer without a question, where none is being answered, and close."""
        if self.phase() != Phase.HEAD:
            self.joined.abort()
            return
        error = Refusal(status, where, expected, found, remedy)
        parts = {
            "where": error.where,
            "expected": error.expected,
            "found": error.found,
            "remedy": error.remedy,
        }
        body = to_json({"error": parts}).encode()
        phrase = b"Bad Request" if status == 400 else b"Request Header Fields Too Large"
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.joined.write(head % (status, phrase, len(body)) + body)
        self.joined.close()

    def on_response_complete(self) -> None:
        """An answer was written, maybe one without a body."""
        self.joined.flush()
        if self.joined.closing:
            self.cycle.body.clear()  # what came and was not read
        super().on_response_complete()
        if self.all.stopping:
            self._tell_end()

    def shutdown(self) -> None:
        """The server stops: the next answer is the last. One that waits for a request may still
        send it, for a moment.
        """
        self._tell_end()

    def _tell_end(self) -> None:
        """The answer to the last request that came says that the connection is closed after it."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._has_more():
            return
        if not cycle.response_started and CLOSE not in cycle.default_headers:
            cycle.default_headers = [*cycle.default_headers, CLOSE]
        cycle.keep_alive = False

    def _has_more(self) -> bool:
        """Of h11: whether a request waits behind this one."""
        return (
            self.conn is not None and bool(self.conn.trailing_data[0]) and not self.cycle.more_body
        )

    def end_wait(self) -> None:
        """Close where no request is under way, nor its first bytes waiting to be read."""
        if self.phase() != Phase.HEAD or self.framing:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self.joined.get_extra_info("socket").fileno(), selectors.EVENT_READ)
            if not selector.select(0):
                self.joined.close()

    def drop(self) -> None:
        """Close at once."""
        self.joined.abort()

    def eof_received(self) -> None:
        """The client has closed its side: after the answer to what it has sent, ours is closed,
        too.
        """
        if self.phase() == Phase.WORK:
            if (left := self.cycle.scope.get(ON_LEFT)) is not None:
                left()
            self._tell_end()
            return True  # type: ignore[return-value]
        return None
