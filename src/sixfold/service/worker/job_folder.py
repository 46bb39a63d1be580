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

from sixfold.core import strict_json
from sixfold.core.paths import clear, safe_join, write_atomic
from sixfold.runs import events, sealed
from sixfold.service.client.transport import Transport
from sixfold.service.domain.jobs import LAST_LINES

TAIL_BYTES: Final = 1 << 16
KILL_WAIT_S: Final = 10.0
OWNER: Final = "owner.json"
OF_TREE: Final = "tree:"  # of a job's inputs: a folder, not a file


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

    def take(self, attempt: int, run_tree: str | None) -> None:
        """This attempt works here from now on: the processes of an older one end, whose worker may be dead or asleep. A run
        folder that is not the newest goes: another machine has stored stages (`run_tree`) that this one did not.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        before = self._owner()
        _end(before)
        if run_tree not in _trees(before):
            clear(self.run)
        self._write_owner({"attempt": attempt, "trees": [run_tree]})

    def stored(self, run_tree: str) -> None:
        """The finished stages are about to be told of: whether or not a kill comes before, this folder is as new as either."""
        owner = self._owner()
        self._write_owner({**owner, "trees": [*_trees(owner)[-1:], run_tree]})

    def remove(self) -> None:
        """The job ended for good."""
        clear(self.path)

    def left_alone(self, since_s: float) -> bool:
        """No process of it lives here, and none has written down itself for so long."""
        with contextlib.suppress(OSError):
            age_s = time.time() - (self.path / OWNER).stat().st_mtime
            return age_s > since_s and not _members(self._owner())
        return False

    def owned(self, attempt: int, pid: int) -> None:
        """The child process of this attempt."""
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(pid).create_time()
            trees = _trees(self._owner())
            owner = {"attempt": attempt, "trees": trees, "pid": pid, "started": started}
            self._write_owner(owner)

    def fill(self, server: Transport, job: Mapping[str, Any]) -> None:
        """Recipe and files, and, where nothing is here, the finished stages that another machine left."""
        self.inputs.mkdir(exist_ok=True)
        for name, digest in job["spec"]["inputs"].items():
            path = safe_join(self.inputs, name)
            if path.exists():
                continue
            if digest.startswith(OF_TREE):
                _fetch_folder(server, digest.removeprefix(OF_TREE), path)
            else:
                server.fetch(digest, path)
        write_atomic(self.inputs / "recipe.yaml", job["spec"]["recipe"])
        if not self.run.exists() and job["run_tree"]:
            _fetch_folder(server, job["run_tree"], self.run)

    def finished_files(self) -> list[str]:
        """Of finished stages, and the stream of events: what another machine can go on from. Relative to the run folder."""
        found = []
        for manifest in self.run.rglob(sealed.MANIFEST):
            stage = manifest.parent
            parts = stage.relative_to(self.run).parts
            unfinished = any(part.endswith((".tmp", ".saved")) for part in parts)
            if not unfinished and sealed.is_sealed(stage):
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
            found = json.loads((self.path / OWNER).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_owner(self, owner: Mapping[str, Any]) -> None:
        write_atomic(self.path / OWNER, strict_json.text(owner))


def _fetch_folder(server: Transport, digest: str, folder: Path) -> None:
    """A whole tree, or nothing of it."""
    aside = folder.with_name(f"{folder.name}.part")
    clear(aside)
    server.fetch_tree(digest, aside)
    aside.rename(folder)


def _trees(owner: Mapping[str, Any]) -> list[Any]:
    """Which of the server's trees this folder is at least as new as."""
    found = owner.get("trees")
    return found if isinstance(found, list) else [None]


def _end(owner: Mapping[str, Any]) -> None:
    """Kill the process group of an older attempt, if it is still the one that was written down."""
    end = time.monotonic() + KILL_WAIT_S
    while _members(owner):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(owner["pid"]), signal.SIGKILL)
        if time.monotonic() > end:
            return
        time.sleep(0.02)  # psutil.wait_procs would take the exit code away from whoever started it


def _members(owner: Mapping[str, Any]) -> list[psutil.Process]:
    """Of that group, which may have outlived its first process. While one is left, the system gives its number to no other."""
    pid, found = owner.get("pid"), []
    if not isinstance(pid, int) or pid <= 1 or pid == os.getpgrp():  # 0 would be our own group
        return []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    others = [one for one in found if one.pid == pid and one.create_time() != owner.get("started")]
    return [] if others else found
