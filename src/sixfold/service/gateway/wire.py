"""HTTP/1.1 to a replica on loopback, over connections that are kept: the answer's head, then its body as it comes.

The other end is our own server, so the forms that it sends are few: a Content-Length, or chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

BLOCK: Final = 1 << 16
MOST_HEAD: Final = 1 << 16
MOST_KEPT: Final = 64  # idle connections to one replica
OWN: Final = frozenset({b"date", b"server"})  # of answers: the front server writes its own
BODILESS: Final = frozenset({204, 304})
Headers = list[tuple[bytes, bytes]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ReplicaGone(Exception):
    """The connection ended before there was a whole answer."""


@dataclass(frozen=True)
class ReplicaRequest:
    """What a replica is asked. `target`: path and query as they came, of visible ASCII alone."""

    method: str
    target: bytes
    headers: Headers
    body: bytes

    def sent(self, host: bytes) -> bytes:
        """As it goes over the wire."""
        lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (self.method.encode(), self.target, host)]
        lines += [b"%b: %b\r\n" % one for one in self.headers]
        lines.append(b"Content-Length: %d\r\n\r\n" % len(self.body))
        return b"".join(lines) + self.body


@dataclass
class ReplicaAnswer:
    """`length`: of its body; None where it comes in chunks. It must be read to its end, or closed: a connection that is
    closed in the middle ends the replica's work on it.
    """

    status: int
    headers: Headers
    length: int | None
    kept: bool
    wire: Wire
    connection: Connection

    async def whole(self) -> bytes:
        """Its body. Raises ReplicaGone."""
        if self.length is None:
            return b"".join([block async for block in self.blocks()])
        try:
            body = await self.connection[0].readexactly(self.length) if self.length else b""
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise ReplicaGone(str(error)) from error
        except BaseException:
            self.close()
            raise
        self._read()
        return body

    async def blocks(self) -> AsyncIterator[bytes]:
        """Its body as it comes. Raises ReplicaGone."""
        reader = self.connection[0]
        try:
            if self.length is None:
                while size := int((await reader.readline()).split(b";")[0], 16):
                    yield (await reader.readexactly(size + 2))[:-2]
                await reader.readline()
            else:
                left = self.length
                while left:
                    block = await reader.read(min(left, BLOCK))
                    if not block:
                        raise ReplicaGone("the answer ended early")
                    left -= len(block)
                    yield block
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise ReplicaGone(str(error)) from error
        self._read()

    def close(self) -> None:
        """The rest of it is not read."""
        self.connection[1].close()

    def _read(self) -> None:
        if self.kept:
            self.wire.keep(self.connection)
        else:
            self.close()


@dataclass
class Wire:
    """To one replica."""

    host: str
    port: int
    closed: bool = False
    _idle: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._address = f"{self.host}:{self.port}".encode()

    async def ask(self, asked: ReplicaRequest) -> ReplicaAnswer:
        """Over an idle connection, else a new one; an idle one that the replica closed in the meantime is tried anew. Raises
        ReplicaGone.
        """
        sent = asked.sent(self._address)
        while self._idle:
            connection = self._idle.pop()
            if connection[0].at_eof() or connection[1].is_closing():
                connection[1].close()
                continue
            try:
                return await self._ask(connection, sent, asked.method)
            except ReplicaGone:
                continue
        try:
            connection = await asyncio.open_connection(self.host, self.port, limit=MOST_HEAD)
        except OSError as error:
            raise ReplicaGone(str(error)) from error
        return await self._ask(connection, sent, asked.method)

    def keep(self, connection: Connection) -> None:
        """For the next request."""
        if self.closed or len(self._idle) >= MOST_KEPT:
            connection[1].close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Idle connections now, the others after their answer."""
        self.closed = True
        while self._idle:
            self._idle.pop()[1].close()

    async def _ask(self, connection: Connection, sent: bytes, method: str) -> ReplicaAnswer:
        reader, writer = connection
        try:
            writer.write(sent)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            return self._answer(connection, head, method)
        except (
            OSError,
            ValueError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as error:
            writer.close()
            raise ReplicaGone(str(error)) from error
        except BaseException:
            writer.close()
            raise

    def _answer(self, connection: Connection, head: bytes, method: str) -> ReplicaAnswer:
        first, *rest = head[:-4].split(b"\r\n")
        status = int(first.split(b" ", 2)[1])
        headers: Headers = []
        length: int | None = 0
        kept = True
        for line in rest:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if name in OWN:
                continue
            if name == b"transfer-encoding":
                length = None
                continue
            if name == b"connection":
                kept = value.lower() != b"close"
                continue
            if name == b"content-length":
                length = int(value)
            headers.append((name, value))
        if method == "HEAD" or status in BODILESS:
            length = 0
        return ReplicaAnswer(status, headers, length, kept, self, connection)
