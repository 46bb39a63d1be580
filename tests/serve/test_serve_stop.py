"""How a server ends: with every request answered that it was sent, within its time, and at once
when it is told twice.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import slow_clients
import tiny_bundle
from server_process import Server
from slow_clients import answer, connect

from sixfold.serve.run import STOP_S, STOP_WAIT_S

QUICK = ("uvloop", "httptools")
BODY = json.dumps([tiny_bundle.raw()]).encode()
REQUEST = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)
# Work that ends long after the server should: in a thread, as onnxruntime does it, without Python's
# lock.
STUCK = "from sixfold.bundle.predictor import Predictor; import time; Predictor.predict = lambda *_, **__: time.sleep(120)"
END_S = 30.0
STOPS = 6  # of both protocols together; SIXFOLD_STOPS=20 for the whole figure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(tmp_path_factory.mktemp("stop") / "bundle")


class Client(threading.Thread):
    """Asks again and again until it is told to go or cannot connect; counts what became of its
    requests.

    `keep`: on one connection, which it leaves only when an answer says so. `pause_s`: between two
    requests.
    """

    def __init__(self, port: int, keep: bool, pause_s: float) -> None:
        super().__init__()
        self.port, self.keep, self.pause_s = port, keep, pause_s
        self.seen: Counter[str] = Counter()
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection = connect(self.port)
            except OSError:
                return  # it listens no more
            with connection:
                if not self._ask(connection):
                    return

    def _ask(self, connection: socket.socket) -> bool:
        while True:
            try:
                connection.sendall(REQUEST)
                received = answer(connection)
            except OSError as error:
                self.seen[f"failed: {type(error).__name__} {error}"] += 1
                return False
            self.seen[received[9:12].decode()] += 1
            if not self.keep or b"connection: close" in received.lower():
                return True
            time.sleep(self.pause_s)


def stop_under_load(folder: Path, without: tuple[str, ...]) -> Counter[str]:
    """What became of all requests, by the status of their answers."""
    server = Server(folder, without, "from sixfold.serve import run")
    clients = [
        Client(server.port, keep, pause_s)
        for keep, pause_s in ((True, 0.0), (True, 0.05), (True, 0.3), (False, 0.0)) * 2
    ]
    time.sleep(0.7)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join(END_S)
    out, err = server.process.communicate(timeout=END_S)
    assert (out, err, server.process.returncode) == ("imported []\n", "", 0)
    assert time.monotonic() - started < END_S
    seen: Counter[str] = sum((client.seen for client in clients), Counter())
    assert seen["200"] > len(clients)
    return seen


@pytest.mark.parametrize("without", [(), QUICK], ids=["httptools", "h11"])
def test_no_request_fails_when_the_server_ends(folder: Path, without: tuple[str, ...]) -> None:
    assert set(stop_under_load(folder, without)) == {"200"}


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), QUICK], ids=["httptools", "h11"])
def test_no_request_fails_in_any_of_many_ends(folder: Path, without: tuple[str, ...]) -> None:
    total: Counter[str] = Counter()
    for _ in range(int(os.environ.get("SIXFOLD_STOPS", STOPS)) // 2):
        total += stop_under_load(folder, without)
    assert set(total) == {"200"}, total


def test_idle_connections_may_ask_once_more_and_are_told_to_close(folder: Path) -> None:
    server = Server(folder)
    with connect(server.port) as idle, connect(server.port) as late, connect(server.port) as fresh:
        for one in (idle, late):
            one.sendall(REQUEST)
            assert b"connection: close" not in answer(one).lower()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(STOP_WAIT_S / 2)
        for one in (late, fresh):
            one.sendall(REQUEST * 2)  # both of them, and then no more
            received = slow_clients.rest(one)
            assert received.count(b"HTTP/1.1 200") == 2
            assert received.lower().count(b"connection: close") == 1
        started = time.monotonic()
        assert idle.recv(100) == b""  # its end, and not a reset
        assert time.monotonic() - started < END_S
    out, err = server.process.communicate(timeout=END_S)
    assert (out, err, server.process.returncode) == ("imported []\n", "", 0)


def busy(server: Server, number: int) -> list[socket.socket]:
    """So many requests that are never answered."""
    connections = [connect(server.port) for _ in range(number)]
    for connection in connections:
        connection.sendall(REQUEST)
    while f"sixfold_in_flight {number + 1}.0".encode() not in server.ask("GET", "/metrics")[1]:
        time.sleep(0.02)
    return connections


def stuck(folder: Path, before: str = "") -> Server:
    """A server whose model answers long after the end. It would ask it for a row at its start."""
    return Server(
        folder,
        before=f"{STUCK}; from sixfold.serve.inference import Server; Server.warm = lambda self: None"
        + before,
    )


def test_a_second_signal_ends_it_at_once_whatever_its_threads_do(folder: Path) -> None:
    server = stuck(folder)
    connections = busy(server, 10)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    _, err = server.process.communicate(timeout=STOP_S / 2)
    assert server.process.returncode == 0
    assert err == "WARNING:  Stopped with 10 requests in work.\n"
    for connection in connections:
        connection.close()


@pytest.mark.slow
def test_it_ends_within_its_time_whatever_its_threads_do(folder: Path) -> None:
    given_s = 4
    assert STOP_S + STOP_WAIT_S < END_S  # what it has where nobody changes it
    server = stuck(folder, f"; from sixfold.serve import run; run.STOP_S = {given_s}")
    connections = busy(server, 3)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    _, err = server.process.communicate(timeout=END_S)
    assert given_s - 1 < time.monotonic() - started < END_S
    assert (server.process.returncode, err) == (0, "WARNING:  Stopped with 3 requests in work.\n")
    for connection in connections:
        connection.close()


def test_a_signal_while_it_starts_is_not_lost(folder: Path) -> None:
    """Before uvicorn listens to signals."""
    early = "; ".join(
        [
            "import os, signal",
            "from sixfold.serve import run",
            "start = run._Server.run",
            "run._Server.run = lambda self, sockets: (os.kill(os.getpid(), signal.SIGTERM), start(self, sockets))",
        ]
    )
    server = Server(folder, before=early + "; serve = run.serve")
    out, err = server.process.communicate(timeout=END_S)
    assert (out, err, server.process.returncode) == ("imported []\n", "", 0)
