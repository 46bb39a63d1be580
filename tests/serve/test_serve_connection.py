"""Answers over a kept-alive connection: in one piece, at once, with uvloop and httptools and
without them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_bundle
from server_process import Server

from sixfold.serve import run
from sixfold.serve.one_write import JoinedTransport

STALL_S = 0.04  # what Nagle's algorithm and a delayed acknowledgement cost together
QUICK = ("uvloop", "httptools")
BODY = json.dumps([tiny_bundle.raw()]).encode()


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    head = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"Host: 127.0.0.1",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def whole(connection: socket.socket, received: bytes = b"") -> bytes:
    """The rest of an answer, after `received`."""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 20)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(1 << 20)
    assert head.startswith(b"HTTP/1.1 200"), received
    return body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = tiny_bundle.RECIPE.replace(
        "max_rows: 100, max_body: 64KiB", "max_rows: 100000, max_body: 64MiB"
    )
    return tiny_bundle.make(tmp_path_factory.mktemp("connection") / "bundle", recipe=recipe)


# What is not installed there.
WITHOUT = [
    pytest.param((), id="all"),
    pytest.param(QUICK, id="neither"),
    pytest.param(("uvloop",), id="no-uvloop", marks=pytest.mark.slow),
    pytest.param(("httptools",), id="no-httptools", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=WITHOUT)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    running = Server(folder, request.param)
    yield running
    out, err = running.stop()
    assert (out, err, running.process.returncode) == ("imported []\n", "", 0)


@pytest.mark.parametrize("path", ["/predict", "/v2/models/tiny/infer", "/livez"])
def test_an_answer_comes_in_one_piece_and_at_once(server: Server, path: str) -> None:
    inputs = [
        {"name": name, "shape": [1], "datatype": kind, "data": [value]}
        for (name, value), kind in zip(
            tiny_bundle.raw().items(), ["FP64", "FP64", "BOOL", "BYTES", "BYTES"], strict=True
        )
    ]
    bodies = {"/predict": BODY, "/v2/models/tiny/infer": json.dumps({"inputs": inputs}).encode()}
    request = (
        post(path, bodies[path])
        if path in bodies
        else b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        for _ in range(20):
            connection.sendall(request)
            first = connection.recv(1 << 20)
            assert (
                whole(connection, first) == first.partition(b"\r\n\r\n")[2]
            )  # no second piece was waited for
        assert time.perf_counter() - started < 20 * STALL_S


def test_a_long_answer_is_not_held_back(server: Server) -> None:
    """The last segment of many is shorter than the others: Nagle's algorithm would keep it until
    the others are acknowledged.
    """
    body = json.dumps([tiny_bundle.raw()] * 2000).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(post("/predict", body))
        assert len(json.loads(whole(connection))["predictions"]) == 2000
        connection.sendall(post("/predict", BODY, b"Connection: close"))
        assert json.loads(whole(connection))["predictions"][0]["label"] == "keep"
        assert connection.recv(1) == b""


def test_requests_that_come_together_are_answered_in_order(server: Server) -> None:
    sizes = (0.0, -8.0, 2.5)
    requests = [
        post("/predict", json.dumps([tiny_bundle.raw(size=size)]).encode()) for size in sizes
    ]
    alone, together = [], b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for request in requests:
            connection.sendall(request)
            alone.append(whole(connection))
        connection.sendall(b"".join(requests))
        while together.count(b"predictions") < len(sizes):
            together += connection.recv(1 << 20)
    assert [together.find(body) for body in alone] == sorted(together.find(body) for body in alone)
    assert all(body in together for body in alone)


def test_accepted_sockets_have_no_delay() -> None:
    """By asyncio, which looks at the protocol of the socket that listens; uvloop always sets it."""

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(
                writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            )
            writer.close()

        listening = run._listen("127.0.0.1", 0)
        async with await asyncio.start_server(look, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            writer.close()
            return await asyncio.wait_for(found, 10)

    assert asyncio.run(accepted()) != 0


@pytest.mark.slow
def test_long_work_does_not_hold_up_short_work(server: Server) -> None:
    """Requests of many rows take the threads: while they are answered, a request of one row is,
    too.
    """
    body = json.dumps(
        {"columns": {name: [value] * 50_000 for name, value in tiny_bundle.raw().items()}}
    ).encode()
    done: list[float] = []

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(post("/predict", body))
            assert len(json.loads(whole(connection))["predictions"]) == 50_000
        done.append(time.perf_counter())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    short: list[float] = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        while len(done) < len(threads):
            connection.sendall(post("/predict", BODY))
            whole(connection)
            short.append(time.perf_counter())
    for thread in threads:
        thread.join()
    assert sum(moment < min(done) for moment in short) >= 5


class Recorded(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def write_eof(self) -> None:
        self.said.append("ended")

    def abort(self) -> None:
        self.said.append("aborted")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.said.append("paused")

    def resume_reading(self) -> None:
        self.said.append("resumed")


def test_a_head_waits_for_its_body() -> None:
    inner = Recorded()
    joined = JoinedTransport(inner)
    head, body = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 is a body, too"
    joined.write(head)
    assert inner.said == []
    joined.write(body)
    assert inner.said == [head + body]
    joined.write(b"more of it")
    joined.write(
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )  # the client waits for it before it sends its body
    joined.write(b"")
    assert inner.said[1:] == [b"more of it", b"HTTP/1.1 100 Continue\r\n\r\n"]
    joined.write(head)
    joined.flush()  # an answer without a body
    joined.flush()
    joined.pause_reading()
    joined.resume_reading()
    assert inner.said[3:] == [head, "paused", "resumed"]
    joined.write(head)
    joined.close()
    joined.close()
    joined.write(b"more")
    joined.flush()
    assert inner.said[6:] == [
        head,
        "ended",
        "resumed",
    ]  # what comes in is read, and dropped, until the client closes
    assert joined.is_closing() and not inner.is_closing()
    joined.abort()
    assert inner.said[9:] == ["aborted"]
    other = JoinedTransport(Recorded())
    other.write(head)
    other.abort()
    other.flush()
    assert other._inner.said == ["aborted"]  # type: ignore[attr-defined]


def test_answers_without_a_body_come_too(server: Server) -> None:
    """HEAD, a body that waits for 100 Continue, and a refusal that closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"HEAD /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        connection.sendall(post("/predict", BODY, b"Expect: 100-continue")[: -len(BODY)])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert b"predictions" in whole(connection)
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n"
        )
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")
