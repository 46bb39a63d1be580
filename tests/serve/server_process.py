"""A server process on a free port, for the tests that ask over a socket."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HEAVY = ("torch", "sklearn", "pandas", "pyarrow", "onnx", "scipy", "lightgbm")
# The process refuses to unpickle anything, and says at its end which of the heavy packages it has
# imported.
PROCESS = f"""
import _pickle, pickle, sys

for name in sys.argv[2:]:
    sys.modules[name] = None  # as if it were not installed

class Refusing(pickle._Unpickler):
    def find_class(self, module, name):
        raise RuntimeError("something was unpickled")

def refuse(*arguments, **options):
    raise RuntimeError("something was unpickled")

pickle.Unpickler = _pickle.Unpickler = Refusing
pickle.load = pickle.loads = _pickle.load = _pickle.loads = refuse
from sixfold.serve.run import serve
BEFORE
serve(sys.argv[1], port=0, trust_recipe=True)
print("imported", [name for name in {HEAVY!r} if name in sys.modules], flush=True)
"""


class Server:
    """A server process on a free port. `without`: modules that are not installed there; `before`:
    code that it runs first.
    """

    def __init__(self, bundle: Path, without: Sequence[str] = (), before: str = "") -> None:
        command = [sys.executable, "-c", PROCESS.replace("BEFORE", before), str(bundle), *without]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.line = self._first_line()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.line)
        assert found, f"{self.line} {self.process.communicate(timeout=10)}"
        self.port = int(found[1])

    def _first_line(self) -> str:
        """And no byte more: `communicate` would miss what a buffer holds of a server that ends at once."""
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(self.process.stdout.fileno(), 1)):
            line += byte
        return line.decode()

    def stop(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)

    def memory_bytes(self, kind: str = "VmHWM") -> int:
        """The most that it has held (VmRSS: that it holds now). Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{kind}:\s+(\d+) kB", status)[0]) * 1024

    def forget_peak(self) -> None:
        """`memory_bytes` counts from now on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
