"""`sixfold up` in a process of its own, which may be killed and started again on the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from free_ports import free_port

START_S = 600.0  # a safety net, on a machine that is busy with other things


@dataclass
class ServiceProcess:
    """Of a home that holds a first key already."""

    home: Path
    workers: int = 1
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Until it says that it is up."""
        arguments = ["up", "--home", str(self.home), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sixfold", *arguments, "--workers", str(self.workers)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        guard = threading.Timer(START_S, self.kill)
        guard.start()
        first = self.process.stdout.readline()
        guard.cancel()
        assert "is up on" in first, first

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self._ended()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self._ended()

    def _ended(self) -> None:
        if self.process is not None:
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
