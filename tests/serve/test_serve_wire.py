"""Bytes that are nearly HTTP: cut, doubled, changed and joined at random places. None is a fault of
the server.
"""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

import pytest
import tiny_bundle
from server_process import Server
from slow_clients import connect, rest, send

QUICK = ("uvloop", "httptools")
BODY = json.dumps([tiny_bundle.raw()]).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
REQUESTS = [
    HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Trailer: a\r\n\r\n"
    % (len(BODY), BODY),
    HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n[1]",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /readyz HTTP/1.0\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: [::1]\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET http://127.0.0.1/livez?a=%00%ff#b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b" ",
    b":",
    b"0\r\n\r\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"ffffffffffffffff\r\n",
    b"HTTP/1.1",
    b"\xff\xfe",
    b"Expect: 100-continue\r\n",
]


def mutated(chance: random.Random) -> bytes:
    """One to three requests, with up to four faults."""
    content = bytearray(b"".join(chance.choice(REQUESTS) for _ in range(chance.randint(1, 3))))
    for _ in range(chance.randint(0, 4)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice([0, 1, 5, 50]))
        match chance.randint(0, 3):
            case 0:
                del content[start:end]
            case 1:
                content[start:start] = chance.choice(PIECES)
            case 2:
                content[end:end] = content[start:end]
            case _:
                content[start:end] = bytes(chance.randrange(256) for _ in range(end - start))
    return bytes(content)


def try_all(server: Server, number: int, seed: int) -> int:
    """How many of so many connections got an answer."""
    chance, answered = random.Random(seed), 0
    for _ in range(number):
        content = mutated(chance)
        with connect(server.port) as connection:
            cut = chance.randrange(len(content) + 1)
            send(connection, content[:cut])
            if send(connection, content[cut:]):
                try:
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    continue
            received = rest(connection)
            assert b"HTTP/1.1 5" not in received, (content, received)
            answered += received.startswith(b"HTTP/1.1 ")
    return answered


def check(folder: Path, without: tuple[str, ...], number: int) -> None:
    server = Server(folder, without)
    answered = try_all(server, number, seed=len(without))
    assert answered > number / 2
    assert server.ask("POST", "/predict", BODY)[0] == 200
    assert b"sixfold_in_flight 1.0" in server.ask("GET", "/metrics")[1]
    _, log = server.stop()
    assert "Traceback" not in log and "rror" not in log, log[:3000]
    assert server.process.returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(tmp_path_factory.mktemp("wire") / "bundle")


@pytest.mark.parametrize("without", [(), QUICK], ids=["httptools", "h11"])
def test_what_is_nearly_http(folder: Path, without: tuple[str, ...]) -> None:
    check(folder, without, 50)


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), QUICK], ids=["httptools", "h11"])
def test_much_that_is_nearly_http(folder: Path, without: tuple[str, ...]) -> None:
    check(folder, without, 3000)
