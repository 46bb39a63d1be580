"""The latency of a bundle over HTTP, as its users will have it: a server process, a kept-alive
connection, a row a request.

It takes a second or two, nearly all of it the start of the process. What cannot be measured is
said, and stops no run.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from sixfold.bundle.write import BundleParts, write_bundle
from sixfold.core.errors import SixfoldError
from sixfold.recipe.receipt import OverHttp
from sixfold.serve.openapi import example_row

NEEDED_S: Final = (
    3.0  # that have to be left of a time budget: start, requests, and the report after it
)
START_S: Final = 15.0  # for the start on a busy machine
ASK_S: Final = 0.4
WARM, REQUESTS, LEAST = 20, 400, 30
END: Final = b"\r\n\r\n"


class Unanswered(Exception):
    """The server did not start, or did not answer; the text says which."""


def over_http(parts: BundleParts, deadline: float | None) -> OverHttp:
    """p50 and p99 of one row. `parts`: of the bundle; its report may be empty. `deadline`: of the
    run, by time.monotonic().
    """
    until = time.monotonic() + START_S
    if deadline is not None:
        if deadline - time.monotonic() < NEEDED_S:
            return OverHttp(why="no time for it was left in budget.time")
        until = min(until, deadline - NEEDED_S / 2)
    body = json.dumps({"rows": [example_row(parts.signature)]}).encode()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            bundle = Path(folder) / "bundle"
            write_bundle(bundle, parts)
            with _server(bundle, parts.plugins, until) as port:
                return _latency(port, body, until)
    except (Unanswered, OSError, SixfoldError) as error:
        return OverHttp(why=(str(error) or type(error).__name__).rstrip("."))


@contextmanager
def _server(bundle: Path, plugins: Sequence[str], until: float) -> Iterator[int]:
    """The port of a server process, which ends with the context. Raises Unanswered, OSError."""
    command = [
        sys.executable,
        "-m",
        "sixfold",
        "serve",
        str(bundle),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    command += [word for name in plugins for word in ("--allow-plugin", name)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert process.stdout is not None
        reading = threading.Thread(
            target=lambda out=process.stdout: lines.put(out.readline()), daemon=True
        )
        reading.start()
        try:
            found = re.search(
                r"http://127\.0\.0\.1:(\d+)", lines.get(timeout=max(0.0, until - time.monotonic()))
            )
            if found is None:
                raise Unanswered("the server did not start")
            yield int(found[1])
        except queue.Empty:
            raise Unanswered("the server did not start in time") from None
        finally:
            process.kill()
            reading.join()  # before its pipe is closed


def _latency(port: int, body: bytes, until: float) -> OverHttp:
    """Ask over and over. Raises Unanswered, OSError."""
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    seconds: list[float] = []
    with socket.create_connection(
        ("127.0.0.1", port), timeout=max(0.1, until - time.monotonic())
    ) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = min(until, time.monotonic() + ASK_S)
        while len(seconds) < WARM + REQUESTS and (
            len(seconds) < WARM + LEAST or time.monotonic() < end
        ):
            if time.monotonic() > until:
                raise Unanswered("the server answered too slowly")
            started = time.perf_counter()
            connection.sendall(request)
            _answer(connection)
            seconds.append(time.perf_counter() - started)
    p50, p99 = (float(np.percentile(seconds[WARM:], share)) * 1e3 for share in (50, 99))
    return OverHttp(p50_ms=p50, p99_ms=p99, requests=len(seconds) - WARM)


def _answer(connection: socket.socket) -> None:
    """Take a whole answer. Raises Unanswered, OSError."""
    received, size = b"", -1
    while size < 0 or len(received) < size:
        part = connection.recv(1 << 16)
        received += part
        head, end, _ = received.partition(END)
        if not part or (end and not head.startswith(b"HTTP/1.1 200")):
            raise Unanswered(f"the server answered {head[:40].decode('latin-1')!r}")
        if end and size < 0:
            size = len(head) + len(END) + int(re.findall(rb"(?i)content-length: *(\d+)", head)[0])
