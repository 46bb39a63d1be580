"""The server as a process: tritonclient, readiness, SIGTERM, and what it never imports or
unpickles.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from server_process import Server

from sixfold.serve.run import STOP_S


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.make(tmp_path_factory.mktemp("process") / "bundle")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder)
    yield running
    out, err = running.stop()
    assert (out, err, running.process.returncode) == ("imported []\n", "", 0)


def test_it_says_where_it_answers_and_does(server: Server) -> None:
    assert server.line.startswith("tiny answers on http://127.0.0.1:")
    assert server.ask("GET", "/readyz")[0] == 200
    status, body = server.ask("POST", "/predict", json.dumps([tiny_bundle.raw()]).encode())
    assert (status, json.loads(body)["predictions"][0]["label"]) == (200, "keep")
    for path in ("/", "/docs", "/openapi.json", "/signature", "/metrics"):
        assert server.ask("GET", path)[0] == 200


# a folder that tritonclient's own dependency (gevent) warns about is no fault of ours
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("binary", [True, False])
def test_triton_client_gets_the_same_answers(server: Server, binary: bool) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("tiny")
        assert client.is_model_ready("tiny", "1")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        types = {t["name"]: t["datatype"] for t in client.get_model_metadata("tiny")["inputs"]}
        assert types == {
            "size": "FP64",
            "label": "FP64",
            "new": "BOOL",
            "since": "BYTES",
            "colour": "BYTES",
        }
        arrays = {
            "size": np.array([[1.5], [np.nan]]) if binary else np.array([[1.5], [0.0]]),
            "label": np.array([[2], [3]], dtype=np.int64),
            "new": np.array([[True], [False]]),
            "since": np.array([["2026-11-23"], [""]], dtype=object),
            "colour": np.array([["red"], ["café"]], dtype=object),
        }
        inputs = []
        for name, array in arrays.items():
            kind = {"f": "FP64", "i": "INT64", "b": "BOOL", "O": "BYTES"}[array.dtype.kind]
            inputs.append(triton.InferInput(name, list(array.shape), kind))
            inputs[-1].set_data_from_numpy(array, binary_data=binary)
        outputs = (
            None if binary else [triton.InferRequestedOutput("probability", binary_data=False)]
        )
        result = client.infer("tiny", inputs, outputs=outputs, request_id="42")
        score = [
            tiny_bundle.score(1.5, 2, 1, 1795392000.0, "red"),
            tiny_bundle.score(0.0, 3, 0, 0.0, "café"),
        ]
        first = 1 / (1 + np.exp(-np.array(score)))
        np.testing.assert_allclose(result.as_numpy("probability")[:, 0], first, atol=1e-12)
        assert result.get_response()["id"] == "42"
        if binary:
            assert result.as_numpy("label").tolist() == [[b"keep"], [b"keep"]]
        with pytest.raises(
            triton.InferenceServerException
            if hasattr(triton, "InferenceServerException")
            else Exception
        ) as caught:
            client.infer("tiny", inputs[1:])
        assert "the column 'size'" in str(caught.value)
    finally:
        client.close()


def test_a_slow_request_is_finished_after_sigterm(folder: Path) -> None:
    server = Server(folder)
    body = json.dumps([tiny_bundle.raw()]).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body[:5]
        )
        while b"sixfold_in_flight 2.0" not in server.ask("GET", "/metrics")[1]:
            time.sleep(0.02)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[5:])
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"label":"keep"' in answer
    out, err = server.process.communicate(timeout=30)
    assert (out, err, server.process.returncode) == ("imported []\n", "", 0)


def test_a_second_sigterm_does_not_wait(folder: Path) -> None:
    server = Server(folder)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999\r\n\r\n["
        )  # the rest never comes
        while b"sixfold_in_flight 2.0" not in server.ask("GET", "/metrics")[1]:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=STOP_S / 2)  # alone it would wait for STOP_S
    assert out == "imported []\n"
    assert server.process.returncode == 0


def test_requests_at_once_are_all_answered_or_told_when_to_come_again(server: Server) -> None:
    body = json.dumps([tiny_bundle.raw()] * 50).encode()
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(5):
            statuses.append(server.ask("POST", "/predict", body)[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 40
    assert set(statuses) <= {200, 503}
    assert 200 in statuses


def test_a_taken_port_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = (
            "import sys; from sixfold.serve.run import serve\n"
            "from sixfold.core.errors import SystemFault\n"
            "try: serve(sys.argv[1], port=int(sys.argv[2]))\n"
            "except SystemFault as error: print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout == (
        f"127.0.0.1:{port}: expected a free address; found Address already in use. "
        "Stop the other server, or choose another port with --port.\n"
    )
