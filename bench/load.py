"""Load on a server: kept-alive connections that each send the next request when the last one was
answered.

Raw sockets and one thread: a request costs this client some 15 µs, so that a server is what is
measured. Linux only (epoll).
"""

from __future__ import annotations

import gc
import select
import socket
import time
from dataclasses import dataclass, field

import numpy as np

END = b"\r\n\r\n"
LENGTH = b"content-length:"
TIMEOUT_S = 60.0


@dataclass
class Seen:
    """What the answers of one run were like. `latencies_s`: of every request."""

    latencies_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    client_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.latencies_s) / self.wall_s

    @property
    def p50_s(self) -> float:
        """The median latency."""
        return float(np.percentile(self.latencies_s, 50))

    @property
    def p99_s(self) -> float:
        """The latency that 99 of 100 requests stay below."""
        return float(np.percentile(self.latencies_s, 99))


class Connection:
    """A kept-alive connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.size = -1  # of the whole answer, once its head is here
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        """The next request; the last one has been answered."""
        self.received, self.size = b"", -1
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what is there. True: the answer is whole. Raises ConnectionError for any status but
        200.
        """
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError(f"closed by the server: {self.received[:200]!r}")
        self.received = self.received + part if self.received else part
        if self.size < 0:
            self.size = whole_size(self.received)
        return 0 <= self.size <= len(self.received)

    def ask(self, request: bytes) -> bytes:
        """One request; the body of its answer."""
        self.send(request)
        while not self.receive():
            pass
        return self.received.partition(END)[2]


def whole_size(received: bytes) -> int:
    """Bytes of the answer with its head; -1 as long as the head is not whole. Raises
    ConnectionError.
    """
    head = received.find(END)
    if head < 0:
        return -1
    if not received.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"not answered: {received[:300]!r}")
    lower = received[:head].lower()
    at = lower.find(LENGTH)
    if at < 0:
        raise ConnectionError(f"an answer without a length: {received[:300]!r}")
    return head + len(END) + int(lower[at + len(LENGTH) :].split(b"\r", 1)[0])


def request(path: str, body: bytes) -> bytes:
    """A POST of JSON as any client sends it."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run(port: int, content: bytes, connections: int, seconds: float) -> Seen:
    """Keep `connections` busy for so many seconds. Raises ConnectionError, OSError."""
    opened = [Connection(port) for _ in range(connections)]
    watched = {one.socket.fileno(): one for one in opened}
    seen, poll = Seen(), select.epoll()
    gc.disable()
    try:
        for number in watched:
            poll.register(number, select.EPOLLIN)
        cpu, started = time.process_time(), time.perf_counter()
        end = started + seconds
        for one in opened:
            one.send(content)
        under_way = connections
        while under_way:
            ready = poll.poll(TIMEOUT_S)
            if not ready:
                raise ConnectionError(f"no answer within {TIMEOUT_S:g} s")
            for number, _ in ready:
                one = watched[number]
                if not one.receive():
                    continue
                now = time.perf_counter()
                seen.latencies_s.append(now - one.sent_at)
                if now < end:
                    one.send(content)
                else:
                    under_way -= 1
        seen.wall_s, seen.client_s = time.perf_counter() - started, time.process_time() - cpu
    finally:
        gc.enable()
        poll.close()
        for one in opened:
            one.socket.close()
    return seen
