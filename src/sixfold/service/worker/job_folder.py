"""Where a job is worked on, on this machine:

HOME/jobs/JOB/inputs/recipe.yaml and its files
              run/           the run folder of `sixfold run`
              log.txt        what the child processes wrote
              owner.json     which attempt works here, and its process
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from sixfold.core.paths import clear, safe_join, write_atomic
from sixfold.runs import events, sealed
from sixfold.service.client.transport import Transport
from sixfold.service.domain.jobs import LAST_LINES

TAIL_BYTES: Final = 1 << 16
KILL_WAIT_S: Final = 10.0


@dataclass(frozen=True)
class JobFolder:
    """Of one job, over all attempts on this machine."""

    path: Path

    @property
    def inputs(self) -> Path:
        """The recipe and its files."""
        return self.path / "inputs"

    @property
    def run(self) -> Path:
        """Of `sixfold run`."""
        return self.path / "run"

    @property
    def log(self) -> Path:
        """Output of the child processes."""
        return self.path / "log.txt"

    def take(self, attempt: int) -> None:
        """This attempt works here from now on: the process of an older one ends, whose worker may be dead or asleep. A run
        folder that is not the newest (another machine worked on after it) goes.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        before = self._owner()
        _end(before)
        if before.get("attempt") != attempt - 1:
            clear(self.run)
        self._write_owner({"attempt": attempt})

    def owned(self, attempt: int, pid: int) -> None:
        """The child process of this attempt."""
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(pid).create_time()
            self._write_owner({"attempt": attempt, "pid": pid, "started": started})

    def fill(self, server: Transport, job: Mapping[str, Any]) -> None:
        """Recipe and files, and, where nothing is here, the finished stages that another machine left."""
        self.inputs.mkdir(exist_ok=True)
        for name, digest in job["spec"]["inputs"].items():
            path = safe_join(self.inputs, name)
            if not path.is_file():
                server.fetch(digest, path)
        write_atomic(self.inputs / "recipe.yaml", job["spec"]["recipe"])
        if not self.run.exists() and job["run_tree"]:
            aside = self.path / "run.part"
            clear(aside)
            server.fetch_tree(job["run_tree"], aside)
            aside.rename(self.run)

    def finished_files(self) -> list[str]:
        """Of finished stages, and the stream of events: what another machine can go on from. Relative to the run folder."""
        found = []
        for manifest in self.run.rglob(sealed.MANIFEST):
            stage = manifest.parent
            if not stage.name.endswith((".tmp", ".saved")) and sealed.is_sealed(stage):
                found += [path for path in stage.rglob("*") if path.is_file()]
        stream = self.run / events.NAME
        found += [stream] if stream.is_file() else []
        return sorted({path.relative_to(self.run).as_posix() for path in found})

    def last_lines(self) -> tuple[str, ...]:
        """Of the log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ()
        return tuple(line[:500] for line in text.splitlines()[-LAST_LINES:])

    def _owner(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "owner.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_owner(self, owner: Mapping[str, Any]) -> None:
        write_atomic(self.path / "owner.json", json.dumps(owner))


def _end(owner: Mapping[str, Any]) -> None:
    """Kill the process group of an older attempt, if that process is still the one that was written down."""
    pid = owner.get("pid")
    if not isinstance(pid, int):
        return
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
        process = psutil.Process(pid)
        if process.create_time() != owner.get("started"):
            return
        os.killpg(pid, signal.SIGKILL)
        end = time.monotonic() + KILL_WAIT_S
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end:
                return
            time.sleep(0.05)
