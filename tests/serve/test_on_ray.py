"""`sixfold serve --ray`: the same routes and the same answers as of the thin server."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from click.testing import CliRunner
from server_process import Server

from free_ports import free_port
from sixfold.cli.serve import command

ROWS = [{name: value or None for name, value in row.items()} for row in tiny_bundle.ROWS]
INFER = {
    "inputs": [{"name": "size", "shape": [1, 1], "datatype": "FP64", "data": [1.5]}],
    "id": "one",
}
ASKED: list[tuple[str, str, bytes]] = [
    *[("GET", path, b"") for path in ("/", "/docs", "/openapi.json", "/signature", "/livez")],
    ("GET", "/readyz", b""),
    ("GET", "/v2", b""),
    ("GET", "/v2/models/tiny", b""),
    ("GET", "/nothing", b""),
    ("POST", "/predict", json.dumps({"rows": ROWS}).encode()),
    ("POST", "/predict", b"size,colour\n1.5,red\n"),
    ("POST", "/predict", b'{"rows": [{"size": "large"}]}'),
    ("POST", "/predict", b'{"rows": ['),
    ("POST", "/v2/models/tiny/infer", json.dumps(INFER).encode()),
    ("PUT", "/predict", b""),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(tmp_path_factory.mktemp("ray") / "bundle")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """Of replicas on a cluster of this machine."""
    pytest.importorskip("ray.serve")
    port = free_port()
    arguments = ["--port", str(port), "--trust-recipe", "--max-replicas", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sixfold", "serve", "--ray", *arguments, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )
    assert process.stdout is not None
    try:
        line = next((text for text in process.stdout if "answers on" in text), "")
        assert re.match(rf"tiny answers on http://127\.0\.0\.1:{port}  \(1 to 2 replicas\)", line)
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ask(port: int, method: str, path: str, body: bytes) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {} if body.startswith(b"{") or not body else {"Content-Type": "text/csv"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


@pytest.mark.slow
def test_the_same_routes_and_answers(folder: Path, port: int) -> None:
    server = Server(folder)
    try:
        for method, path, body in ASKED:
            expected = ask(server.port, method, path, body)
            assert ask(port, method, path, body) == expected, (method, path, body)
    finally:
        server.stop()


@pytest.mark.slow
def test_a_host_that_is_not_allowed(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/signature", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == 421
    connection.close()


def test_bounds_of_replicas_are_for_ray(folder: Path) -> None:
    found = CliRunner().invoke(command, ["--max-replicas", "2", str(folder)])
    assert found.exit_code == 2
    assert "are for --ray" in found.output
