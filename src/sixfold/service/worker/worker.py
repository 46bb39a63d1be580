"""The worker's loop: say hello, claim what fits, hold several jobs at once, end well."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from sixfold import __version__
from sixfold.core.paths import clear
from sixfold.service.client.transport import Transport
from sixfold.service.domain.errors import NotFound, ServiceError
from sixfold.service.domain.ids import new_id
from sixfold.service.worker.job_folder import JobFolder
from sixfold.service.worker.job_run import JobRun
from sixfold.telemetry import logs

POLL_S: Final = 0.5
GOODBYE_S: Final = 2.0  # of patience with a server that ends itself
LEAST_DISK: Final = 256 << 20  # below it, no job is taken
KEPT_S: Final = 7 * 24 * 3600.0  # a folder of a job that is paused, or went to another machine
SHORT_KEPT_S: Final = 600.0  # on a disk that is full
HOUSEKEEPING_S: Final = 30.0
JOBS: Final = "jobs"
SPARE_SHARE: Final = 0.1  # of the machine's memory, which no job is promised


@dataclass
class Worker:
    """`memory_bytes`: for its jobs together, left out: nine tenths of what the machine has; `most_jobs`: at once, left out: as
    many as it has cores.
    """

    server: Transport
    home: Path
    name: str = field(default_factory=platform.node)
    memory_bytes: int | None = None
    most_jobs: int | None = None
    beat_s: float = 1.0
    id: str = field(default_factory=lambda: new_id("worker"))
    stop: threading.Event = field(default_factory=threading.Event)
    _held: dict[str, tuple[JobRun, threading.Thread]] = field(default_factory=dict)
    _looked_at: float | None = None  # when room on the disk was seen

    def work(self) -> None:
        """Until `end`; then its jobs are given back, each from its last saved state."""
        self.home = self.home.resolve()  # jobs' processes work in folders of their own
        self.home.mkdir(parents=True, exist_ok=True)
        self._hello()
        while not self.stop.is_set():
            self._forget_ended()
            if len(self._held) >= (self.most_jobs or os.cpu_count() or 1) or not self._claim():
                self.stop.wait(POLL_S)
        for held, _ in self._held.values():
            held.stop.set()
        for _, thread in self._held.values():
            thread.join()
        with contextlib.suppress(ServiceError):  # the observer will see it
            self.server.call("DELETE", f"/api/v1/workers/{self.id}")

    def end(self) -> None:
        """Soon: a server that is away is not waited for."""
        self.server.patience_s = GOODBYE_S
        self.stop.set()

    def _hello(self) -> None:
        """Raises Conflict where the server is of another version."""
        answer = self.server.call(
            "POST",
            "/api/v1/workers",
            {
                "id": self.id,
                "name": self.name,
                "cores": os.cpu_count() or 1,
                "memory_bytes": self._memory(),
                "free_bytes": self._free(),
                "version": __version__,
            },
        )
        self.beat_s = float(answer["beat_s"])

    def _claim(self) -> bool:
        try:
            if not self._has_disk():
                return False
            known = [one.job["id"] for one, thread in self._held.values() if thread.is_alive()]
            body = {"free_bytes": self._free(), "held": known}
            job = self.server.call("POST", f"/api/v1/workers/{self.id}/claim", body)
        except NotFound:  # the database is another one than before
            self._hello()
            return False
        except ServiceError as error:
            logs.event("worker.waits", logging.WARNING, worker=self.name, why=str(error))
            return False
        if job is None:
            return False
        held = JobRun(self.server, self.id, job, self.home / JOBS, self.beat_s)
        thread = threading.Thread(target=held.work, name=job["id"])
        self._held[f"{job['id']}/{job['attempt']}"] = held, thread
        thread.start()
        return True

    def _has_disk(self) -> bool:
        """Room for a job; folders that nobody works in go after a week, and sooner where there is none."""
        now = time.monotonic()
        if self._looked_at is not None and now - self._looked_at < HOUSEKEEPING_S:
            return True
        short = shutil.disk_usage(self.home).free < LEAST_DISK
        held = {one.job["id"] for one, _ in self._held.values()}
        for path in (self.home / JOBS).glob("*"):
            left_s = SHORT_KEPT_S if short else KEPT_S
            if path.name not in held and JobFolder(path).left_alone(left_s):
                clear(path)
        if not short or shutil.disk_usage(self.home).free >= LEAST_DISK:
            self._looked_at = now
            return True
        logs.event(
            "worker.disk_full", logging.WARNING, worker=self.name, least_free_bytes=LEAST_DISK
        )
        return False

    def _forget_ended(self) -> None:
        for key, (held, thread) in list(self._held.items()):
            if not thread.is_alive():
                del self._held[key]
                if held.lost:
                    job = held.job
                    told = {"worker": self.name, "job_id": job["id"], "attempt": job["attempt"]}
                    logs.event("worker.lost_job", logging.WARNING, **told)

    def _memory(self) -> int:
        return self.memory_bytes or int(psutil.virtual_memory().total * (1 - SPARE_SHARE))

    def _free(self) -> int:
        """Neither promised to a job nor taken by anything else on the machine."""
        promised = sum(held.promised_bytes for held, _ in self._held.values())
        there = psutil.virtual_memory().available + 0
        return max(0, min(self._memory() - promised, there))
