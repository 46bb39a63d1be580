"""What a replica may do to the gateway, by a server that speaks as it is told; and what a client may do to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_worlds import GatewayWorld

from sixfold.service.gateway.client_watch import ClientWatch
from sixfold.service.gateway.wire import ReplicaGone, ReplicaRequest, Wire

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ASK = ReplicaRequest("POST", b"/predict?a=b", [(b"accept", b"*/*")], b"12345")


def with_replica(speak: Speak, work: Callable[[Wire], Awaitable[Any]]) -> Any:
    async def speaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        finally:
            writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(speaking, "127.0.0.1", 0)
        async with server:
            wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1])
            try:
                return await asyncio.wait_for(work(wire), 60)
            finally:
                wire.close()

    return asyncio.run(run())


async def requests(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", (200, b"abc")),
        (b"HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", (503, b"")),
        (b"HTTP/1.1 204 None\r\n\r\n", (204, b"")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
            (200, b"abc"),
        ),
    ],
)
def test_connections_are_kept(answer: bytes, expected: tuple[int, bytes]) -> None:
    heads: list[bytes] = []
    opened = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            try:
                heads.append(await requests(reader))
            except asyncio.IncompleteReadError:
                return
            writer.write(answer)

    async def work(wire: Wire) -> list[tuple[int, bytes]]:
        found = []
        for _ in range(3):
            one = await wire.ask(ASK)
            found.append((one.status, await one.whole()))
        return found

    assert with_replica(speak, work) == [expected] * 3
    assert opened == 1
    assert heads[0].startswith(b"POST /predict?a=b HTTP/1.1\r\nHost: 127.0.0.1:") and heads[
        0
    ].endswith(b"12345")


def test_a_connection_that_the_replica_closed_is_made_anew() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requests(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        await writer.drain()
        writer.close()

    async def work(wire: Wire) -> list[bytes]:
        return [await (await wire.ask(ASK)).whole() for _ in range(4)]

    assert with_replica(speak, work) == [b"a"] * 4


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 17),
    ],
)
def test_half_an_answer_is_none(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requests(reader)
        writer.write(answer)
        writer.close()

    async def work(wire: Wire) -> None:
        one = await wire.ask(ASK)
        await one.whole()

    with pytest.raises(ReplicaGone):
        with_replica(speak, work)


def test_a_client_that_leaves_ends_the_replicas_work() -> None:
    left = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requests(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await reader.read()  # the gateway's end
        left.set()

    async def work(wire: Wire) -> str:
        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def answered() -> str:
            watch = ClientWatch({}, receive)  # type: ignore[arg-type]
            one = await wire.ask(ASK)
            try:
                async for _ in one.blocks():
                    pass
            except asyncio.CancelledError:
                one.close()
                return "left" if watch.left else "cancelled"
            return "answered"

        found = await asyncio.create_task(answered())
        await left.wait()
        return found

    assert with_replica(speak, work) == "left"


def test_a_head_without_end_is_refused(gate: GatewayWorld) -> None:
    with socket.create_connection(("127.0.0.1", gate.port), timeout=60) as one:
        sent = 0
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        try:
            while sent < 8 << 20:
                one.sendall(b"y" * 65536)
                sent += 65536
        except OSError:
            pass
        assert sent < 8 << 20
    assert gate.ask("GET", "/livez")[0] == 200


def test_bodies_are_bounded(gate: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixfold.service.gateway.bodies.MOST_BODY", 1000)
    status, _, body = gate.ask("POST", "/models/tiny/predict", b"x" * 1001)
    assert status == 413 and b"at most 1,000 bytes" in body

    def blocks() -> Any:
        for _ in range(20):
            yield b"x" * 100

    assert gate.ask("POST", "/models/tiny/predict", blocks())[0] == 413  # type: ignore[arg-type]
    assert gate.front.bodies.held_bytes == 0
