"""A child process: `sixfold plan` or `sixfold run`, in a process group of its own, within a limit of memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from sixfold.service.process_tools import BEFORE_EXEC, child_environment

PROGRAM = (sys.executable, "-m", "sixfold")  # tests put a quicker one in its place


@dataclass
class ChildProcess:
    """`memory_bytes`: of all its processes together; what goes over it is killed, which `over_memory` tells."""

    arguments: Sequence[str]
    folder: Path
    log: Path
    memory_bytes: int | None = None
    online: bool = False
    over_memory: bool = field(default=False, init=False)
    peak_bytes: int = field(default=0, init=False)  # that they were seen to hold
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self, output: IO[bytes] | None = None) -> int:
        """Its process id. `output`: where its standard output goes, left out: to the log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, *self.arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=log,
                env=child_environment(self.online),
                start_new_session=True,
                preexec_fn=BEFORE_EXEC,
            )
        return self.process.pid

    def poll(self) -> int | None:
        """Its exit code, None while it works; looks at its memory on the way."""
        code = self.process.poll()
        if code is None:
            held = self._held()
            self.peak_bytes = max(self.peak_bytes, held)
            if self.memory_bytes is not None and held > self.memory_bytes:
                self.over_memory = True
                self.kill()
        return code

    def interrupt(self) -> None:
        """As Ctrl-C: it saves nothing new, and loses nothing that it saved."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """All of its group, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _held(self) -> int:
        total = 0
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += one.memory_info().rss
        return total
