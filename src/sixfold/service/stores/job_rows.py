"""Jobs, their events, and workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Select, func, or_, select, text
from sqlalchemy import delete as delete_from

from sixfold.service.domain.jobs import CLAIMABLE, JobEvent, JobState, TrainingJob, WorkerMachine
from sixfold.service.ports.jobs import HeldJob
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, StoreConnection, TenantRowsOf

JOBS: Final = RowMapper(
    TrainingJob,
    tables.jobs,
    {
        "kind": lambda job: job.spec.kind,
        "needs_memory_bytes": lambda job: job.needs and job.needs.memory_bytes,
    },
)
EVENTS: Final = RowMapper(JobEvent, tables.events)
WORKERS: Final = RowMapper(WorkerMachine, tables.workers)
CLAIMS: Final = 0x53697867  # number of the lock that claims of all servers of a PostgreSQL take


@dataclass(frozen=True)
class JobTable:
    """Jobs; the queue is a look into them."""

    rows: TenantRowsOf[TrainingJob]

    def add(self, job: TrainingJob) -> None:
        """Raises Conflict."""
        self.rows.add(job)

    def get(self, tenant_id: str, job_id: str) -> TrainingJob | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=job_id))

    def find(self, job_id: str) -> TrainingJob | None:
        """Of any tenant."""
        return self.rows.one(tables.jobs.c.id == job_id)

    def save(self, job: TrainingJob) -> TrainingJob:
        """Raises Conflict, NotFound."""
        saved = replace(job, revision=job.revision + 1)
        self.rows.replace(saved, revision=job.revision)
        return saved

    def page(self, tenant_id: str, query: PageQuery) -> Page[TrainingJob]:
        """By id."""
        return self.rows.page_of(tenant_id, query)

    def next_for(self, worker: WorkerMachine) -> TrainingJob | None:
        """One claim at a time: the limits of a tenant are counted after the claim before is kept."""
        store = self.rows.store
        if store.sql.dialect.name == "postgresql":
            store.sql.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": CLAIMS})
        due = due_jobs(worker.free_bytes).with_for_update(of=tables.jobs, skip_locked=True)
        row = store.sql.execute(due).first()
        return None if row is None else JOBS.entity(row._mapping)

    def held(self) -> tuple[HeldJob, ...]:
        """By workers, of all tenants."""
        jobs = tables.jobs.c
        query = select(
            jobs.tenant_id, jobs.id.label("job_id"), jobs.worker_id, jobs.attempt, jobs.beat
        )
        found = self.rows.store.all(query.where(jobs.worker_id.is_not(None)))
        return tuple(sorted((HeldJob(**row) for row in found), key=lambda job: job.job_id))

    def counts(self, tenant_id: str) -> Mapping[JobState, int]:
        """By state; 0 where there is none."""
        query = select(tables.jobs.c.state, func.count().label("count"))
        grouped = query.where(*self.rows.of(tenant_id)).group_by(tables.jobs.c.state)
        found = {JobState(row["state"]): row["count"] for row in self.rows.store.all(grouped)}
        return {state: found.get(state, 0) for state in JobState}


def due_jobs(free_bytes: int) -> Select[Any]:
    """The job that is next where so much memory is free. Those that are only to be checked and planned wait for no quota."""
    jobs, tenants = tables.jobs.c, tables.tenants.c
    running = (
        select(
            jobs.tenant_id,
            func.count().label("count"),
            func.sum(func.coalesce(jobs.needs_memory_bytes, 0)).label("memory"),
        )
        .where(jobs.state == JobState.RUNNING)
        .group_by(jobs.tenant_id)
        .subquery("running")
    )
    count = func.coalesce(running.c.count, 0)
    memory = func.coalesce(running.c.memory, 0)
    needed = func.coalesce(jobs.needs_memory_bytes, 0)
    due = select(tables.jobs).join(tables.tenants, tenants.id == jobs.tenant_id)
    due = due.outerjoin(running, running.c.tenant_id == jobs.tenant_id)
    checked = jobs.state == JobState.VALIDATING
    return (
        due.where(
            jobs.state.in_(sorted(CLAIMABLE)),
            jobs.worker_id.is_(None),
            needed <= free_bytes,
            or_(checked, tenants.quota_jobs_running.is_(None), count < tenants.quota_jobs_running),
            or_(
                checked,
                tenants.quota_memory_bytes.is_(None),
                memory + needed <= tenants.quota_memory_bytes,
            ),
        )
        .order_by(jobs.priority.desc(), count, jobs.id)
        .limit(1)
    )


@dataclass(frozen=True)
class EventTable:
    """Facts of jobs."""

    rows: TenantRowsOf[JobEvent]

    def add(self, tenant_id: str, events: Sequence[JobEvent]) -> int:
        """Raises Conflict where the job is not there."""
        insert = self.rows.store.insert(tables.events).on_conflict_do_nothing()
        rows = [{"tenant_id": tenant_id, **EVENTS.values(event)} for event in events]
        new = insert.returning(tables.events.c.seq)
        return len(self.rows.store.sql.execute(new, rows).all()) if rows else 0

    def after(self, tenant_id: str, job_id: str, seq: int, limit: int) -> tuple[JobEvent, ...]:
        """Oldest first."""
        events = tables.events.c
        query = select(tables.events).where(
            *self.rows.of(tenant_id, job_id=job_id), events.seq > seq
        )
        return self._some(query.order_by(events.seq), limit)

    def before(
        self, tenant_id: str, job_id: str, seq: int | None, limit: int
    ) -> tuple[JobEvent, ...]:
        """Newest first."""
        events = tables.events.c
        query = select(tables.events).where(*self.rows.of(tenant_id, job_id=job_id))
        if seq is not None:
            query = query.where(events.seq < seq)
        return self._some(query.order_by(events.seq.desc()), limit)

    def of_kinds(
        self, tenant_id: str, job_id: str, kinds: Collection[str], seq: int
    ) -> tuple[JobEvent, ...]:
        """Oldest first."""
        events = tables.events.c
        query = select(tables.events).where(
            *self.rows.of(tenant_id, job_id=job_id),
            events.seq > seq,
            events.kind.in_(sorted(kinds)),
        )
        return EVENTS.entities(self.rows.store.all(query.order_by(events.seq)))

    def last_seq(self, job_id: str) -> int:
        """Of a job of any tenant."""
        events = tables.events.c
        owner = select(tables.jobs.c.tenant_id).where(tables.jobs.c.id == job_id)
        query = select(func.max(events.seq)).where(
            events.tenant_id == owner.limit(1).scalar_subquery(), events.job_id == job_id
        )
        return self.rows.store.sql.execute(query).scalar_one() or 0

    def remove(self, tenant_id: str, job_id: str, seq: int) -> int:
        """How many there were."""
        events = tables.events.c
        own = self.rows.of(tenant_id, job_id=job_id)
        return self.rows.store.changed(delete_from(tables.events).where(*own, events.seq <= seq))

    def _some(self, query: Select[Any], limit: int) -> tuple[JobEvent, ...]:
        return EVENTS.entities(self.rows.store.all(query.limit(max(limit, 0))))


@dataclass(frozen=True)
class WorkerTable:
    """Machines, of no tenant."""

    store: StoreConnection

    def save(self, worker: WorkerMachine) -> None:
        """New, or changed."""
        row = WORKERS.values(worker)
        insert = self.store.insert(tables.workers).values(row)
        self.store.changed(insert.on_conflict_do_update(index_elements=["id"], set_=row))

    def get(self, worker_id: str) -> WorkerMachine | None:
        """By its id."""
        found = select(tables.workers).where(tables.workers.c.id == worker_id)
        row = self.store.locked(found)
        return None if row is None else WORKERS.entity(row)

    def all(self) -> tuple[WorkerMachine, ...]:
        """By id."""
        return WORKERS.entities(
            self.store.all(select(tables.workers).order_by(tables.workers.c.id))
        )

    def remove(self, worker_id: str) -> bool:
        """Whether it was there."""
        statement = delete_from(tables.workers).where(tables.workers.c.id == worker_id)
        return self.store.changed(statement) > 0
