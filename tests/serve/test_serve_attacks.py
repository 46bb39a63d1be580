"""The server under attack, as a process: large bodies, slow clients, half requests; what it holds,
and who is still answered.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hostile_bodies
import pytest
import slow_clients
import tiny_bundle
from server_process import Server
from slow_clients import connect, opened, rest, still_open

QUICK = ("uvloop", "httptools")
GROWTH_BYTES = 60_000_000  # 52 million were seen beside another worker
BODY = json.dumps([tiny_bundle.raw()]).encode()
FEW_FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))"
SHORT = (
    "from sixfold.serve import bodies, connections; bodies.BODY_TIMEOUT_S = 0.5; "
    "connections.LIMITS_S = (0.5, 0.5, 60.0, 60.0)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(
        tmp_path_factory.mktemp("attacks") / "bundle", recipe=hostile_bodies.RECIPE
    )


@pytest.fixture(scope="module", params=[(), QUICK], ids=["httptools", "h11"])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    running = Server(folder, request.param, SHORT)
    yield running
    running.stop()
    assert running.process.returncode == 0


def post(body: bytes = BODY, *headers: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = [b"POST /predict HTTP/1.1", b"Host: 127.0.0.1", b"Content-Length: %d" % size, *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def flood(server: Server, bodies: list[hostile_bodies.Body]) -> list[tuple[int, str]]:
    """All at once; the status of each and its name."""
    found: list[tuple[int, str]] = []

    def ask(body: hostile_bodies.Body) -> None:
        with connect(server.port) as connection:
            slow_clients.send(connection, body.request())
            connection.shutdown(socket.SHUT_WR)
            found.append((int(rest(connection)[9:12] or 0), body.name))

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert server.ask("GET", "/livez")[0] == 200
        time.sleep(0.05)
    return found


def check_growth(folder: Path, clients: int, kinds: list[hostile_bodies.Body]) -> None:
    """So many clients send the same kind of body at once, kind after kind: the server never holds
    much more than at its start.
    """
    server, most = Server(folder), 0
    try:
        for _ in range(3):
            assert (
                server.ask("POST", "/predict", json.dumps([tiny_bundle.raw()] * 50).encode())[0]
                == 200
            )
        before = server.memory_bytes("VmRSS")
        for body in kinds:
            found = Counter(status for status, _ in flood(server, [body] * clients))
            assert found.total() == clients
            assert set(found) <= {body.status, 503}, (body.name, found)
            assert found[body.status] >= 1, (body.name, found)
            grown = server.memory_bytes() - before
            assert grown <= GROWTH_BYTES, f"{body.name}: {grown:,} bytes more"
            most = max(most, grown)
            assert server.ask("POST", "/predict", BODY)[0] == 200
        print(
            f"\n{len(kinds)} kinds of bodies, {clients} clients each: at most {most:,} bytes more"
        )
    finally:
        server.stop()


def test_large_bodies_do_not_grow_the_server(folder: Path) -> None:
    check_growth(folder, 8, [next(hostile_bodies.largest())])


@pytest.mark.slow
def test_no_kind_of_large_body_grows_the_server(folder: Path) -> None:
    kinds = list(hostile_bodies.largest())
    assert len(kinds) == 32
    check_growth(folder, 40, kinds)


def test_half_heads_do_not_close_the_service(folder: Path) -> None:
    """Three hundred connections that send half a head, of a server that may open two hundred
    files.
    """
    server = Server(folder, before=FEW_FILES)
    half = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    with opened(server.port, 300, half) as connections:
        for _ in range(5):
            for connection in connections:
                slow_clients.send(connection, b"a")
            assert server.ask("GET", "/livez")[0] == 200
            assert server.ask("POST", "/predict", BODY)[0] == 200
        assert 50 <= still_open(connections) <= 150
    _, log = server.stop()
    assert len(log) < 2000
    assert server.process.returncode == 0


@pytest.mark.slow
def test_without_descriptors_it_waits_and_says_so_rarely(folder: Path) -> None:
    """They are taken by something else, so that not one more connection can be accepted."""
    take = "; ".join(
        [
            FEW_FILES,
            "import os, threading, time; from sixfold.serve import connections",
            "connections.most_connections = lambda: 1000; taken = []",
            "dup = lambda: [taken.append(os.dup(0)) for _ in range(150)]",
            "take = lambda: (time.sleep(1), dup(), time.sleep(3), [os.close(n) for n in taken])",
            "import sixfold.serve.run as run; run.most_connections = lambda: 1000",
            "threading.Thread(target=take, daemon=True).start()",
        ]
    )
    server = Server(folder, before=take)
    with opened(server.port, 300) as connections:
        time.sleep(2)
        assert still_open(connections) > 0
    time.sleep(3)
    assert server.ask("GET", "/livez")[0] == 200
    _, log = server.stop()
    assert "Connections are not accepted: [Errno 24] Too many open files" in log
    assert len(log.splitlines()) < 20


def test_half_requests_end_on_their_own_clock(server: Server) -> None:
    """Nothing, half a head, half a body, and a byte now and then: whichever way, a connection is
    given up.
    """
    chunk = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"
    with ExitStack() as stack:
        parts = (b"", b"GET /livez HTT", post()[:-5], chunk)
        connections = [
            one for part in parts for one in stack.enter_context(opened(server.port, 5, part))
        ]
        assert slow_clients.until(connections, 15) < 10


def test_a_head_that_trickles_has_no_more_time(server: Server) -> None:
    trickled = 0
    with opened(server.port, 1, b"GET /livez HTTP/1.1\r\nX-Slow: ") as (connection,):
        while slow_clients.send(connection, b"a") and trickled < 200:
            time.sleep(0.05)
            trickled += 1
    assert trickled < 200


def test_bodies_that_trickle_close_nothing(server: Server) -> None:
    """Sixty of them hold no place of the forty that there are."""
    with opened(server.port, 60, post(length=4000)) as connections:
        for _ in range(5):
            for connection in connections:
                slow_clients.send(connection, b" ")
            assert server.ask("GET", "/readyz")[0] == 200
            assert server.ask("POST", "/predict", BODY)[0] == 200
        assert any(b"408" in rest(connection)[:20] for connection in connections)


@pytest.mark.slow
def test_large_bodies_that_trickle_make_room_for_others(folder: Path) -> None:
    server = Server(folder, before="from sixfold.serve import bodies; bodies.PATIENCE_S = 0.2")
    body = json.dumps([tiny_bundle.raw()] * 5000).encode()
    with opened(server.port, 3, post(b"[", length=hostile_bodies.LARGEST)) as connections:
        time.sleep(0.5)
        assert sorted(
            b"503" in (connection.recv(50) if still else b"")
            for connection, still in readable(connections)
        ) == [False, True, True]
        assert server.ask("POST", "/predict", body)[0] in (200, 503)
        assert server.ask("POST", "/predict", body + b" " * (4 << 20))[0] == 200
    server.stop()


def readable(connections: list[socket.socket]) -> Iterator[tuple[socket.socket, bool]]:
    for connection in connections:
        connection.settimeout(0.2)
        try:
            yield connection, connection.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            yield connection, False


@pytest.mark.slow
def test_answers_that_nobody_takes_are_dropped(folder: Path) -> None:
    """Sixty clients ask for 10,000 rows each, and never read."""
    server = Server(
        folder, before="from sixfold.serve import connections; connections.MOST_UNSENT = 8 << 20"
    )
    columns = json.dumps(
        {"columns": {name: [value] * 10_000 for name, value in tiny_bundle.raw().items()}}
    ).encode()
    assert server.ask("POST", "/predict", columns)[0] == 200
    before = server.memory_bytes("VmRSS")
    with opened(server.port, 60) as connections:
        for connection in connections:
            slow_clients.send(connection, post(columns))
            time.sleep(0.03)
        assert server.ask("GET", "/livez")[0] == 200
        time.sleep(1)
        assert server.memory_bytes() - before < GROWTH_BYTES
    server.stop()


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        (
            "a long head",
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: %s\r\n" % (b"a" * 300_000),
            b"4",
        ),
        (
            "an endless head",
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: a\r\n" * 200_000,
            b"4",
        ),
        (
            "many headers",
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: a\r\n" * 500 + b"\r\n",
            b"431",
        ),
        ("a long address", b"GET /" + b"a" * 300_000, b"4"),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100, b"400"),
        ("no HTTP at all", b"\x00" * 1000, b"400"),
        (
            "an absurd length",
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %s\r\n\r\n"
            % (b"9" * 40),
            b"4",
        ),
        (
            "a negative length",
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
            b"400",
        ),
        ("two lengths", post(BODY, b"Content-Length: 3"), b"400"),
        ("length and chunks", post(BODY, b"Transfer-Encoding: chunked"), b"400"),
        ("chunks and another", post(b"", b"Transfer-Encoding: chunked, identity"), b"4"),
        ("chunks misspelled", post(b"", b"Transfer-Encoding: xchunked"), b"4"),
        ("a space before the colon", b"GET /livez HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", b"400"),
        ("a folded header", b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n", b""),
        ("no host", b"GET /livez HTTP/1.1\r\n\r\n", b"400"),
        (
            "two hosts",
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
            b"400",
        ),
        ("another host", b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (
            "another page",
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n",
            b"403",
        ),
    ],
)
def test_what_no_client_sends_is_refused(
    server: Server, name: str, content: bytes, status: bytes
) -> None:
    with connect(server.port) as connection:
        slow_clients.send(connection, content)
        connection.shutdown(socket.SHUT_WR)
        received = rest(connection)
        assert received[9 : 9 + len(status)] == status, received[:300]
        assert received.count(b"HTTP/1.1 ") <= 1
    assert server.ask("GET", "/livez")[0] == 200


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tiny chunks", b"1\r\n \r\n" * 50_000),
        ("a chunk's extension", b"1;%s\r\n \r\n" % (b"a" * 300_000)),
        ("chunks' extensions", b"1;abcdefghi\r\n \r\n" * 30_000),
        ("a trailer", b"1\r\n \r\n0\r\nX: %s" % (b"a" * 300_000)),
        ("trailers", b"1\r\n \r\n0\r\n" + b"X-A: b\r\n" * 50_000),
    ],
)
def test_chunks_that_are_more_frame_than_body_are_refused(
    server: Server, name: str, content: bytes
) -> None:
    with connect(server.port) as connection:
        slow_clients.send(connection, CHUNKED + content)
        received = rest(connection)
        assert received == b"" or received.startswith((b"HTTP/1.1 4",)), received[:200]
    assert server.ask("GET", "/livez")[0] == 200


def test_chunks_as_clients_send_them_are_read(server: Server) -> None:
    half = len(BODY) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:half], BODY[half:]))
    with connect(server.port) as connection:
        connection.sendall(CHUNKED + parts + b"0\r\n\r\n")
        assert b'"label":"keep"' in slow_clients.answer(connection)


def test_an_old_client_is_answered_and_closed(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_closes_its_side_is_answered(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(post())
        connection.shutdown(socket.SHUT_WR)
        assert b'"label":"keep"' in rest(connection)


def test_a_refused_body_is_not_taken_for_the_next_request(server: Server) -> None:
    """A client that waits for 100 Continue never sends its body: what it sends next must not be
    read as that.
    """
    hidden = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connect(server.port) as connection:
        connection.sendall(
            post(b"", b"Expect: 100-continue", b"Content-Encoding: gzip", length=len(hidden))
        )
        time.sleep(0.1)
        slow_clients.send(connection, hidden)
        received = rest(connection)
    assert received.startswith(b"HTTP/1.1 415") and received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received.lower()


def test_a_refusal_reaches_a_client_that_is_still_sending(server: Server) -> None:
    """Closing with bytes unread would reset the connection, and the answer would be lost."""
    for _ in range(5):
        with connect(server.port) as connection:
            connection.sendall(post(b"", length=99_999_999))
            for _ in range(20):
                if not slow_clients.send(connection, b" " * 10_000):
                    break
            connection.shutdown(socket.SHUT_WR)
            assert rest(connection).startswith(b"HTTP/1.1 413")


def test_a_flood_of_requests_on_one_connection_ends_it(server: Server) -> None:
    before = server.memory_bytes("VmRSS")
    with connect(server.port) as connection:
        slow_clients.send(connection, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50_000)
        rest(connection)
    assert server.memory_bytes("VmRSS") - before < 20_000_000
    assert server.ask("GET", "/livez")[0] == 200
