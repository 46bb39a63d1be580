"""Clients that mean no good: slow ones, half ones, and such as never stop; over plain sockets."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

TIMEOUT_S = 20.0


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def opened(port: int, number: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, on each of which `first` was sent; some may be closed by the server
    meanwhile.
    """
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(connect(port))
            connections.append(connection)
            send(connection, first)
        yield connections


def send(connection: socket.socket, content: bytes) -> bool:
    """Whether the server still takes it."""
    try:
        connection.sendall(content)
    except OSError:
        return False
    return True


def still_open(connections: Iterable[socket.socket]) -> int:
    """Of how many the server has not closed its side."""
    number = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            number += connection.recv(1 << 16) != b""
        except BlockingIOError:
            number += 1
        except OSError:
            pass
        connection.setblocking(True)
    return number


def until(connections: Iterable[socket.socket], seconds: float) -> float:
    """Seconds until the server has closed all of them; at most so many."""
    started = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() - started < seconds:
            for key, _ in selector.select(0.2):
                try:
                    over = key.fileobj.recv(1 << 16) == b""  # type: ignore[union-attr]
                except OSError:
                    over = True
                if over:
                    selector.unregister(key.fileobj)
    return time.monotonic() - started


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes; what came before a reset, too."""
    received = b""
    try:
        while part := connection.recv(1 << 16):
            received += part
    except OSError:
        pass
    return received


def answer(connection: socket.socket) -> bytes:
    """One whole answer, its head and its body. Raises ConnectionError where the connection ends
    before it does.
    """
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection, received)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _some(connection, body)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket, received: bytes) -> bytes:
    part = connection.recv(1 << 16)
    if not part:
        raise ConnectionError(f"closed after {len(received)} bytes")
    return part
