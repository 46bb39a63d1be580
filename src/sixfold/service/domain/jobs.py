"""A training job: a recipe and its data, and what may become of it.

    validating → queued → running → succeeded | failed | cancelled
                    ↑ ↓       ↓
                    paused ←──┘

A job is claimed by one worker at a time. Each claim counts `attempt` up, and whoever writes says which attempt it
writes for: a worker that was taken for dead and comes back is refused (a fencing token; M. Kleppmann, Designing
Data-Intensive Applications, chapter 8). Who is alive is seen by `beat`, which its worker counts up: an observer that sees the
same beat for `lease_s` of its own monotonic clock lets another worker take over. No wall clock is compared between machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from sixfold.service.domain.errors import Conflict

MOST_CRASHES: Final = 3  # then the job is parked: it fails with its last lines
LAST_LINES: Final = 40  # of a job's log, kept with its failure


class JobState(StrEnum):
    """`VALIDATING`: its recipe is checked and planned; `QUEUED`: waits for room."""

    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
CLAIMABLE: Final = frozenset({JobState.VALIDATING, JobState.QUEUED})


class Wish(StrEnum):
    """What its owner wants of a job that a worker holds: told to the worker as the answer to its next beat."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True)
class JobSpec:
    """What to do. `recipe`: the text of the recipe. `inputs`: plain relative path beside it → SHA-256 of the file, or
    `tree:` and that of a folder's Tree.
    `kind`: `run`, or `fine-tune` for jobs of the OpenAI routes. `publish`: the registry's model that a success adds a version to.
    `options`: what the kind keeps with it (method, hyperparameters, metadata, suffix, base model).
    """

    recipe: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    kind: str = "run"
    publish: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobNeeds:
    """What it will take, or took: peak bytes of memory, seconds, bytes on disk. `how` that is known: `counted` (operations),
    `tried` (on a few rows), `measured` (on a whole run of the same recipe and data).
    """

    memory_bytes: int
    time_s: float
    disk_bytes: int
    how: str = "counted"


@dataclass(frozen=True)
class JobFailure:
    """Why it failed. `code`: `crashed` (parked after MOST_CRASHES), `refused` (its recipe or data), `budget`, `lost`."""

    code: str
    message: str
    param: str | None = None
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingJob:
    """One job, as stored. `revision` counts writes: a write from an older one is refused by the store. `result`: the digest
    of the tree of its bundle and what else a success leaves (model version, result files, trained tokens). `run_tree`: digest
    of the tree of its run's finished stages. `events_line`: how many of its run's events are stored. `needs`: what was expected
    when it was admitted; `measured`: what it took, where one attempt did the whole run. `claimed_at`: by the newest attempt.
    `origin`: of the request that made it: `request_id`, and `traceparent` where it is traced. `forgotten_at`: when its run,
    events and inputs were removed. `settings`: of the training, as the plan resolved them (epochs, batch_size …).
    """

    id: str
    tenant_id: str
    name: str
    spec: JobSpec
    created_at: float
    key_id: str | None = None
    state: JobState = JobState.VALIDATING
    wish: Wish = Wish.RUN
    priority: int = 0
    needs: JobNeeds | None = None
    measured: JobNeeds | None = None
    attempt: int = 0
    beat: int = 0
    worker_id: str | None = None
    crashes: int = 0
    started_at: float | None = None
    claimed_at: float | None = None
    finished_at: float | None = None
    failure: JobFailure | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    run_tree: str | None = None
    events_line: int = 0
    revision: int = 0
    origin: Mapping[str, str] = field(default_factory=dict)
    forgotten_at: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """For good."""
        return self.state in FINISHED

    def held_by(self, worker_id: str, attempt: int) -> TrainingJob:
        """This job, if that worker's attempt is the newest and still holds it. Raises Conflict for a stale one."""
        if self.worker_id == worker_id and self.attempt == attempt and not self.finished:
            return self
        found = f"attempt {self.attempt}, {self.state}" + (
            f", by {self.worker_id}" if self.worker_id else ""
        )
        raise Conflict(
            f"job {self.id}",
            f"attempt {attempt} by {worker_id}",
            found,
            "Stop: the job is not yours any more.",
        )

    def claimed(self, worker_id: str, now: float) -> TrainingJob:
        """By a worker, for planning or for running."""
        state = JobState.RUNNING if self.state is JobState.QUEUED else self.state
        started = (
            self.started_at if self.started_at is not None or state is not JobState.RUNNING else now
        )
        return replace(
            self,
            state=state,
            worker_id=worker_id,
            attempt=self.attempt + 1,
            beat=0,
            started_at=started,
            claimed_at=now,
        )

    def planned(self, needs: JobNeeds, now: float) -> TrainingJob:
        """Its recipe and data are good, and will take so much: it waits for room, unless its owner wants it to stop."""
        if self.wish is Wish.CANCEL:
            return self.ended(JobState.CANCELLED, now)
        state = JobState.PAUSED if self.wish is Wish.PAUSE else JobState.QUEUED
        return replace(self, state=state, wish=Wish.RUN, needs=needs, worker_id=None)

    def released(self, now: float, crashed: bool, last_lines: tuple[str, ...] = ()) -> TrainingJob:
        """Its worker is gone or gave it back. After three crashes it is parked, not given to a fourth worker."""
        if self.wish is Wish.CANCEL:
            return self.ended(JobState.CANCELLED, now)
        crashes = self.crashes + crashed
        if crashes >= MOST_CRASHES:
            failure = JobFailure(
                "crashed", f"{crashes} workers or processes died on it", None, last_lines
            )
            return replace(self.ended(JobState.FAILED, now), crashes=crashes, failure=failure)
        state = JobState.QUEUED if self.state is JobState.RUNNING else self.state
        state = JobState.PAUSED if self.wish is Wish.PAUSE else state
        return replace(self, state=state, wish=Wish.RUN, worker_id=None, crashes=crashes)

    def ended(self, state: JobState, now: float) -> TrainingJob:
        """For good, in `state`."""
        return replace(self, state=state, worker_id=None, wish=Wish.RUN, finished_at=now)

    def cancel(self, now: float) -> TrainingJob:
        """At once where no worker holds it, else by its worker. Raises Conflict for a finished one."""
        self._must("cancelled", not self.finished)
        if self.worker_id is None:
            return self.ended(JobState.CANCELLED, now)
        return replace(self, wish=Wish.CANCEL)

    def pause(self) -> TrainingJob:
        """With everything it has done kept. Raises Conflict for a finished or paused one."""
        self._must("paused", not self.finished and self.state is not JobState.PAUSED)
        if self.worker_id is None:
            return replace(self, state=JobState.PAUSED)
        return replace(self, wish=Wish.PAUSE)

    def resume(self) -> TrainingJob:
        """A paused one goes on exactly where it was; one that is about to pause does not. Raises Conflict."""
        if self.wish is Wish.PAUSE:
            return replace(self, wish=Wish.RUN)
        self._must("resumed", self.state is JobState.PAUSED)
        return replace(self, state=JobState.QUEUED if self.needs else JobState.VALIDATING)

    def retry(self) -> TrainingJob:
        """A failed or cancelled one, from what it has finished. Raises Conflict."""
        self._must("retried", self.state in (JobState.FAILED, JobState.CANCELLED))
        if self.forgotten_at is not None:
            found, remedy = "that they were removed after its end", "Submit it again."
            raise Conflict(f"job {self.id}", "its run and its data", found, remedy)
        state = JobState.QUEUED if self.needs else JobState.VALIDATING
        return replace(self, state=state, crashes=0, failure=None, finished_at=None)

    def _must(self, verb: str, allowed: bool) -> None:
        if not allowed:
            raise Conflict(
                f"job {self.id}",
                f"one that can be {verb}",
                f"a job that is {self.state}",
                "Look at its state first.",
            )


@dataclass(frozen=True)
class JobEvent:
    """A fact that happened in a job. `seq` counts from 1 within the job;
    `level`: info, warn, error; `kind`: the run's event, or `message`.
    """

    job_id: str
    seq: int
    at: float
    kind: str
    level: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerMachine:
    """A worker that asks for jobs. `memory_bytes`: what it may use in all; `free_bytes`: of it, not promised to a job."""

    id: str
    name: str
    cores: int
    memory_bytes: int
    free_bytes: int
    seen_at: float
    version: str = ""
    devices: tuple[str, ...] = ()
