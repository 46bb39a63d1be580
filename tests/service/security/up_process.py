"""`sixfold up` in a process of its own, without workers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

START_S = 600.0  # a safety net, on a machine that is busy with other things


@dataclass
class UpProcess:
    """Of a home that holds a first key already."""

    home: Path
    url: str = ""
    process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        arguments = ["up", "--home", str(self.home), "--port", "0", "--workers", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sixfold", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        guard = threading.Timer(START_S, self.process.kill)
        guard.start()
        first = self.process.stdout.readline()
        guard.cancel()
        found = re.search(r"http://[0-9.]+:\d+", first)
        assert found is not None, first
        self.url = found[0]

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
