"""A service of real processes, which tests kill: `sixfold up`, its workers, and workers of their own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from free_ports import free_port
from sixfold.service.client.client import Client
from sixfold.service.client.transport import Transport
from sixfold.service.process_tools import BEFORE_EXEC

HERE = Path(__file__).parent
STAGES = 3
PATIENCE_S = 600.0  # a safety net: nothing is measured by it
RECIPE = (
    "# {words}\nversion: 1\nname: {name}\ndata: {{source: 'sklearn:iris'}}\n"
    "build: {{families: [{{family: linear}}]}}\n"
)


def recipe(name: str = "three", words: str = "quick") -> str:
    return RECIPE.format(name=name, words=words)


def until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What it returns, once that is true."""
    end = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {patience_s} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class LiveService:
    """`start` again after `kill`: the same home, port and database."""

    folder: Path
    bundle: Path
    database: str | None = None
    workers: int = 2
    lease_s: float = 30.0
    beat_s: float = 0.25
    stage_s: float = 0.05
    stop_s: float = 20.0  # for a child that is asked to end
    disk_mb: int | None = None  # its home is a disk of that size, which it alone sees
    port: int = field(default_factory=free_port)
    key: str = ""
    server: subprocess.Popen[bytes] | None = None
    own_workers: list[subprocess.Popen[Any]] = field(default_factory=list)
    opened: list[Client | Transport] = field(default_factory=list)

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def worker_program(self) -> list[str]:
        script = [sys.executable, str(HERE / "three_stages.py"), str(self.notes)]
        program = [*script, str(self.bundle), str(self.stage_s)]
        facts = json.dumps({"program": program, "stop_s": self.stop_s})
        return [sys.executable, str(HERE / "quick_worker.py"), facts]

    def start(self) -> None:
        """Returns when it answers."""
        self.notes.mkdir(parents=True, exist_ok=True)
        facts = {
            "home": str(self.folder / "home"),
            "port": self.port,
            "database": self.database,
            "workers": self.workers,
            "lease_s": self.lease_s,
            "beat_s": self.beat_s,
            "worker": self.worker_program,
        }
        command = [sys.executable, "-u", str(HERE / "quick_up.py"), json.dumps(facts)]
        if self.disk_mb is not None:
            command = on_a_disk(self.folder / "home", self.disk_mb, command)
        started = self.log().count("Sixfold is up")
        with (self.folder / "up.log").open("ab") as log:
            self.server = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, preexec_fn=BEFORE_EXEC
            )
        until(lambda: self.log().count("Sixfold is up") > started or self.server.poll() is not None)
        assert self.server.poll() is None, self.log()[-3000:]
        for line in self.log().splitlines():
            if line.startswith("The first key, shown once: "):
                self.key = line.rpartition(" ")[2]
        if not self.key:
            until(lambda: "shown once" in self.log())
            self.key = self.log().partition("shown once: ")[2].split()[0]

    def log(self) -> str:
        path = self.folder / "up.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """The server, as a lost machine's."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def terminate(self) -> int:
        """In order; the exit code."""
        assert self.server is not None
        self.server.send_signal(signal.SIGTERM)
        return self.server.wait(60)

    def client(self) -> Client:
        client = Client(self.url, self.key)
        client._http.patience_s = PATIENCE_S
        self.opened.append(client)
        return client

    def transport(self, key: str | None = None) -> Transport:
        http = Transport(self.url, key or self.key, PATIENCE_S)
        self.opened.append(http)
        return http

    def local_workers(self) -> list[psutil.Process]:
        """Of this server, that are past their start."""
        found = []
        with suppress(psutil.Error):
            for one in psutil.Process(self.server.pid).children() if self.server else ():
                with suppress(psutil.Error):
                    if "quick_worker.py" in " ".join(one.cmdline()):
                        found.append(one)
        return found

    def worker(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """On "another machine": with a home of its own."""
        command = [*self.worker_program, "worker", "--server", self.url, *options]
        command += ["--home", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "SIXFOLD_API_KEY": self.key, "PYTHONUNBUFFERED": "1"},
                preexec_fn=BEFORE_EXEC,
            )
        self.own_workers.append(process)
        return process

    def submit(self, words: str = "quick", name: str = "three") -> str:
        """The job's id."""
        answer = self.transport().call(
            "POST", "/api/v1/jobs", {"recipe": recipe(name, words), "files": {}}
        )
        return str(answer["id"])

    def noted(self) -> dict[str, list[str]]:
        """Of each job: `start first`, `done first` …, in order."""
        return {
            path.name: [line.rpartition(" ")[0] for line in path.read_text().splitlines()]
            for path in self.notes.iterdir()
        }

    def end(self) -> None:
        for one in self.opened:
            one.close()
        for process in [*self.own_workers, *([self.server] if self.server else [])]:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def on_a_disk(folder: Path, size_mb: int, command: list[str]) -> list[str]:
    """Run with `folder` as a disk of its own. Skips where nobody may mount one."""
    folder.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={size_mb}m tmpfs {shlex.quote(str(folder))}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    return [*inside, f"{mount} && exec {shlex.join(command)}"]


def done_again(noted: dict[str, list[str]]) -> list[str]:
    """Stages that were begun again after they were sealed."""
    found = []
    for job, lines in noted.items():
        sealed: set[str] = set()
        for line in lines:
            verb, _, stage = line.partition(" ")
            if verb == "done":
                sealed.add(stage)
            elif stage in sealed:
                found.append(f"{job}: {stage}")
    return found


@contextmanager
def live_service(folder: Path, bundle: Path, **facts: Any) -> Iterator[LiveService]:
    service = LiveService(folder, bundle, **facts)
    try:
        service.start()
        yield service
    finally:
        service.end()
