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
Headers = list[tuple[bytes, bytes]]


class ReplicaGone(Exception):
    """The connection ended before there was an answer."""


@dataclass
class ReplicaAnswer:
    """`body` must be read to its end, or closed."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]


@dataclass
class Wire:
    """To one replica."""

    host: str
    port: int
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def ask(self, method: str, target: bytes, headers: Headers, body: bytes) -> ReplicaAnswer:
        """Over an idle connection, else a new one; an idle one that the replica closed in the meantime is tried anew once. Raises
        ReplicaGone.
        """
        lines = [
            b"%s %s HTTP/1.1\r\nHost: %s:%d\r\n"
            % (method.encode(), target, self.host.encode(), self.port)
        ]
        lines += [b"%s: %s\r\n" % one for one in headers]
        lines.append(b"Content-Length: %d\r\n\r\n" % len(body))
        request = b"".join(lines) + body
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._ask(connection, request)
            except ReplicaGone:
                continue
        try:
            connection = await asyncio.open_connection(self.host, self.port, limit=MOST_HEAD)
        except OSError as error:
            raise ReplicaGone(str(error)) from error
        return await self._ask(connection, request)

    def close(self) -> None:
        """Idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _ask(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes
    ) -> ReplicaAnswer:
        reader, writer = connection
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise ReplicaGone(str(error)) from error
        except BaseException:
            writer.close()
            raise
        first, *rest = head[:-4].split(b"\r\n")
        headers = []
        length, chunked, kept = 0, False, True
        for line in rest:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = value.lower() == b"chunked"
                continue
            elif name == b"connection":
                kept = value.lower() != b"close"
                continue
            headers.append((name, value))
        body = self._body(connection, None if chunked else length, kept)
        return ReplicaAnswer(int(first.split(b" ", 2)[1]), headers, body)

    async def _body(
        self,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        length: int | None,
        kept: bool,
    ) -> AsyncIterator[bytes]:
        reader, writer = connection
        whole = False
        try:
            if length is None:
                while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                    yield (await reader.readexactly(size + 2))[:-2]
                await reader.readline()
            else:
                while length:
                    block = await reader.read(min(length, BLOCK))
                    if not block:
                        raise ReplicaGone("the answer ended early")
                    length -= len(block)
                    yield block
            whole = True
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise ReplicaGone(str(error)) from error
        finally:
            if whole and kept and len(self._idle) < MOST_KEPT:
                self._idle.append(connection)
            else:
                writer.close()
