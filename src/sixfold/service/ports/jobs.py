"""Jobs, what happened in them, and who works on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sixfold.service.domain.jobs import JobEvent, JobState, TrainingJob, WorkerMachine
from sixfold.service.ports.pages import Page, PageQuery


@dataclass(frozen=True)
class HeldJob:
    """What an observer of workers needs of a job that one holds."""

    tenant_id: str
    job_id: str
    worker_id: str
    attempt: int
    beat: int


class JobRows(Protocol):
    """Of one tenant, but for what workers and observers ask. What `get` and `next_for` return cannot be changed by another
    transaction before this one ends (SQLite: BEGIN IMMEDIATE; PostgreSQL: FOR UPDATE).
    """

    def add(self, job: TrainingJob) -> None: ...
    def get(self, tenant_id: str, job_id: str) -> TrainingJob | None: ...
    def find(self, job_id: str) -> TrainingJob | None:
        """Of any tenant: for workers."""

    def save(self, job: TrainingJob) -> TrainingJob:
        """As the next revision. Raises Conflict where the stored revision is not `job.revision`."""

    def page(self, tenant_id: str, query: PageQuery) -> Page[TrainingJob]: ...
    def next_for(self, worker: WorkerMachine) -> TrainingJob | None:
        """The job that is due: unclaimed, of state VALIDATING or QUEUED, with needs that fit `worker.free_bytes` and its tenant's
        quota; highest priority first, then the tenant with fewest running jobs, then the oldest. Locked rows are
        skipped.
        """

    def held(self) -> tuple[HeldJob, ...]:
        """All that workers hold, of all tenants."""

    def counts(self, tenant_id: str) -> Mapping[JobState, int]: ...


class EventRows(Protocol):
    """Facts of jobs, in order."""

    def add(self, tenant_id: str, events: Sequence[JobEvent]) -> int:
        """How many were new: one with a (job, seq) that is there is left as it is."""

    def after(self, tenant_id: str, job_id: str, seq: int, limit: int) -> tuple[JobEvent, ...]:
        """Oldest first."""

    def before(
        self, tenant_id: str, job_id: str, seq: int | None, limit: int
    ) -> tuple[JobEvent, ...]:
        """Newest first; `seq` None: from the newest."""

    def of_kinds(
        self, tenant_id: str, job_id: str, kinds: Collection[str], seq: int
    ) -> tuple[JobEvent, ...]:
        """Those behind `seq`, oldest first; all others are passed over where they are stored."""

    def last_seq(self, job_id: str) -> int:
        """0 where there is none."""

    def remove(self, tenant_id: str, job_id: str, seq: int) -> int:
        """Those up to the number `seq`, itself included: how many there were."""


class WorkerRows(Protocol):
    """Machines that ask for jobs."""

    def save(self, worker: WorkerMachine) -> None:
        """Adds it, or what is new of it."""

    def get(self, worker_id: str) -> WorkerMachine | None: ...
    def all(self) -> tuple[WorkerMachine, ...]: ...
    def remove(self, worker_id: str) -> bool: ...
