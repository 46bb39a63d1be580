"""Checkpoints by their name: what is fetched, and what is told where it cannot be. The hub is a server of this test."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tiny_language import write_checkpoint

COMMIT = "a" * 40
READ = """\
import sys
from pathlib import Path
from sixfold.core.errors import DataError
from sixfold.parts.language_checkpoint import read_language
try:
    found = read_language(Path(sys.argv[1]))
    print(found.longest, found.tokenizer.vocabulary, found.network().longest)
except DataError as error:
    print(error)
"""
REFUSED = ("pytorch_model.bin", "modeling_own.py", "model.gguf", "original/model.safetensors")


class Hub:
    """`asked`: the files that were."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.asked: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, body: bool) -> None:
                path = self.path.partition("?")[0]
                if path.startswith("/api/models/org/tiny/tree/"):
                    sizes = [
                        {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                        for name, content in files.items()
                    ]
                    self._send(json.dumps(sizes).encode(), body)
                    return
                if path.startswith("/api/models/org/tiny"):
                    listed = [{"rfilename": name} for name in files]
                    self._send(
                        json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": listed}).encode(),
                        body,
                    )
                    return
                name = path.partition(f"/resolve/{COMMIT}/")[2]
                if name not in files:
                    self.send_error(404)
                    return
                hub.asked.add(name)
                self._send(files[name], body)

            def _send(self, content: bytes, body: bool) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Type", "application/json")
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = write_checkpoint(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = Hub({**files, **dict.fromkeys(REFUSED, b"not to be read")})
    yield found
    found.server.shutdown()
    found.server.server_close()


def read(name: str, url: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, name],
        env={
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
        },
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_weights_and_tokenizer_are_fetched_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    assert read("org/tiny", hub.url, tmp_path / "home") == "64 320 64"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= hub.asked
    assert not hub.asked & set(REFUSED)
    hub.server.shutdown()  # what was fetched is there without a network
    hub.server.server_close()
    assert read("org/tiny", hub.url, tmp_path / "home") == "64 320 64"


@pytest.mark.slow
def test_without_a_network_it_is_told(tmp_path: Path) -> None:
    told = read("org/tiny", "http://127.0.0.1:9", tmp_path / "home")
    assert told.startswith(
        "org/tiny: expected a folder, or a name on the hub that can be reached; found no such folder"
    )
    assert told.endswith("or look at name and network.")
