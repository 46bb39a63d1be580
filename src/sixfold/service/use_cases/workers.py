"""What workers ask and tell. Whatever they write about a job is refused unless they hold its newest attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from sixfold import __version__
from sixfold.core.units import show_seconds
from sixfold.service.domain.errors import Conflict, NotFound
from sixfold.service.domain.jobs import (
    JobEvent,
    JobFailure,
    JobNeeds,
    JobState,
    TrainingJob,
    Wish,
    WorkerMachine,
)
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.records import Usage
from sixfold.service.domain.registry import Lineage
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import expected, fine_tuning, jobs, registry
from sixfold.service.use_cases.service import Service
from sixfold.telemetry import logs

HOUR_S: Final = 3600
MOST_SHOWN: Final = 300  # characters of a job's last line in an event


@dataclass(frozen=True)
class Holding:
    """Which attempt of which job a worker writes for."""

    job_id: str
    worker_id: str
    attempt: int


@dataclass(frozen=True)
class RunLine:
    """A line of the run's events.jsonl. `line` counts from 1 over all attempts."""

    line: int
    at: float
    kind: str
    level: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


def hello(service: Service, who: Principal, machine: WorkerMachine) -> WorkerMachine:
    """A worker says that it is there, and what is free. Raises Conflict for one of another version."""
    who.require(Scope.WORK)
    _must_be_of_this_version(machine)
    seen = replace(machine, seen_at=service.now())
    with service.database.transaction() as rows:
        rows.workers.save(seen)
    return seen


def goodbye(service: Service, who: Principal, worker_id: str) -> None:
    """A worker ends: its jobs are free at once."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        rows.workers.remove(worker_id)
        for held in rows.jobs.held():
            if held.worker_id == worker_id:
                job, now = _held(rows, Holding(held.job_id, worker_id, held.attempt)), service.now()
                _count_time(rows, job, now)
                rows.jobs.save(job.released(now, crashed=False))


def claim(
    service: Service,
    who: Principal,
    worker_id: str,
    free_bytes: int,
    held: frozenset[str] | None = None,
) -> TrainingJob | None:
    """The job that is due and fits; from now on this worker's. `held`: the jobs that it knows it has: one that it was given in an
    answer that was lost on the way, is given again. Raises NotFound for a worker that said no hello, Conflict for one of
    another version.
    """
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        machine = rows.workers.get(worker_id)
        if machine is None:
            raise NotFound("the worker", "one that said hello", worker_id, "Say hello first.")
        _must_be_of_this_version(machine)
        machine = replace(machine, free_bytes=free_bytes, seen_at=service.now())
        rows.workers.save(machine)
        forgotten = None if held is None else _not_in(held, rows, worker_id)
        if forgotten is not None:
            return forgotten
        due = rows.jobs.next_for(machine)
        if due is None:
            return None
        before = None if due.needs else expected.from_measured(rows, due)
        job = rows.jobs.save(due.claimed(worker_id, service.now()))
        verb = "runs" if job.state is JobState.RUNNING else "is validated"
        text = f"The job {verb} on {machine.name} (attempt {job.attempt})."
        jobs.tell(service, rows, job, text)
        return job if before is None else replace(job, needs=before)  # no plan has to try it


def beat(service: Service, who: Principal, holding: Holding, progress: Mapping[str, Any]) -> Wish:
    """The worker lives. What its owner wants of the job comes back. Raises Conflict for a stale attempt."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        job = _held(rows, holding)
        kept = dict(job.progress) | dict(progress)
        rows.jobs.save(replace(job, beat=job.beat + 1, progress=kept))
        return job.wish


def planned(
    service: Service,
    who: Principal,
    holding: Holding,
    needs: JobNeeds,
    settings: Mapping[str, Any] | None = None,
) -> TrainingJob:
    """The recipe and the data are good; what the run will take: what earlier ones took, where there were some. The job waits
    for room, or fails where its tenant's quota allows none so long. `settings`: of its training, as the plan resolved them.
    """
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        job = replace(_held(rows, holding), settings=dict(settings or {}))
        needs = expected.from_measured(rows, job) or needs
        too_long = _too_long(rows, job, needs)
        if too_long is not None:
            return _fail(service, rows, replace(job, needs=needs), too_long)
        saved = rows.jobs.save(job.planned(needs, service.now()))
        text = f"Planned: {expected.shown(needs)} ({needs.how})."
        jobs.tell(service, rows, saved, text, data=asdict(needs))
        return saved


def report(service: Service, who: Principal, holding: Holding, lines: Sequence[RunLine]) -> int:
    """Facts of the run; one that came before is passed over. How many were new."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        job = _held(rows, holding)
        new = [one for one in lines if one.line > job.events_line]
        if not new:
            return 0
        seq = rows.events.last_seq(job.id)
        rows.events.add(
            job.tenant_id,
            [
                JobEvent(job.id, seq + at, one.at, one.kind, one.level, one.message, one.data)
                for at, one in enumerate(new, start=1)
            ],
        )
        rows.jobs.save(replace(job, events_line=new[-1].line))
        return len(new)


def saved(service: Service, who: Principal, holding: Holding, run_tree: str) -> None:
    """The finished stages of the run are stored, so that another machine may go on from them. Crashes before it count no
    longer: the job gets on.
    """
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        job = _held(rows, holding)
        crashes = job.crashes if run_tree == job.run_tree else 0
        rows.jobs.save(replace(job, run_tree=run_tree, crashes=crashes))


def succeeded(
    service: Service,
    who: Principal,
    holding: Holding,
    new: registry.NewVersion,
    result: Mapping[str, Any],
    measured: JobNeeds | None = None,
) -> TrainingJob:
    """Done: the version is published and the job ends, both or neither. `measured`: what its whole run took."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        job = _held(rows, holding)
        lineage = Lineage(
            job.id, job.spec.recipe, dict(job.spec.inputs), job.spec.options.get("base")
        )
        kept = fine_tuning.results(service, rows, job, result)
        version = registry.publish(
            service,
            rows,
            job.tenant_id,
            job.spec.publish or job.name,
            replace(new, lineage=lineage, served_as=job.spec.options.get("served_as")),
        )
        now = service.now()
        ended = replace(
            job.ended(JobState.SUCCEEDED, now),
            measured=measured,
            result={
                **kept,
                "version_id": version.id,
                "version": version.number,
                "tree": new.tree,
            },
        )
        ended = rows.jobs.save(ended)
        _count_time(rows, job, now)
        text = f"The job succeeded: {job.spec.publish} version {version.number}."
        jobs.tell(service, rows, ended, text + expected.compared(ended))
        return ended


def failed(service: Service, who: Principal, holding: Holding, failure: JobFailure) -> TrainingJob:
    """Its recipe, data or budget do not allow it: trying again would end the same way."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        return _fail(service, rows, _held(rows, holding), failure)


def _fail(service: Service, rows: Transaction, job: TrainingJob, why: JobFailure) -> TrainingJob:
    now = service.now()
    ended = rows.jobs.save(replace(job.ended(JobState.FAILED, now), failure=why))
    _count_time(rows, job, now)
    jobs.tell(service, rows, ended, f"The job failed: {why.message}", "error")
    return ended


def _too_long(rows: Transaction, job: TrainingJob, needs: JobNeeds) -> JobFailure | None:
    tenant = rows.tenants.get(job.tenant_id)
    most_s = None if tenant is None else tenant.quota.job_time_s
    if most_s is None or needs.time_s <= most_s:
        return None
    found = f"{show_seconds(needs.time_s)} ({needs.how})"
    text = (
        f"quota.job_time_s: expected at most {show_seconds(most_s)} as planned; found {found}. "
        "Give the recipe a budget.time, make it smaller, or ask an operator for more."
    )
    return JobFailure("budget", text, "quota.job_time_s")


def released(
    service: Service, who: Principal, holding: Holding, crashed: bool, last_lines: Sequence[str]
) -> TrainingJob:
    """The worker gives it back: it was paused or cancelled, its process died, or the worker ends."""
    who.require(Scope.WORK)
    with service.database.transaction() as rows:
        return give_back(service, rows, _held(rows, holding), crashed, last_lines)


def give_back(
    service: Service,
    rows: Transaction,
    job: TrainingJob,
    crashed: bool,
    last_lines: Sequence[str] = (),
) -> TrainingJob:
    """Free for another worker; parked after too many crashes. Within the caller's transaction."""
    now = service.now()
    _count_time(rows, job, now)
    free = rows.jobs.save(job.released(now, crashed, tuple(last_lines)))
    words = {JobState.CANCELLED: "is cancelled", JobState.PAUSED: "is paused"}
    text = words.get(free.state, "waits for a worker again")
    if free.failure is not None:
        text = f"is parked: {free.failure.message}"
    if crashed and last_lines:
        text += f", after: {last_lines[-1][:MOST_SHOWN]}"
    told = {"last_lines": list(last_lines)} if crashed and last_lines else {}
    level = "warn" if crashed else "info"
    if free.failure is not None:
        level = "error"
    jobs.tell(service, rows, free, f"The job {text}.", level, told)
    return free


def _not_in(known: frozenset[str], rows: Transaction, worker_id: str) -> TrainingJob | None:
    """A job that this worker was given and does not know of."""
    for one in rows.jobs.held():
        if one.worker_id == worker_id and one.job_id not in known:
            return rows.jobs.find(one.job_id)
    return None


def _must_be_of_this_version(machine: WorkerMachine) -> None:
    """A stage that other code made is made again: versions are not mixed."""
    if machine.version != __version__:
        raise Conflict(
            f"worker {machine.name}",
            f"Sixfold {__version__}, as the server has",
            machine.version or "another one",
            f"pip install 'sixfold=={__version__}' there, and start it again.",
        )


def _held(rows: Transaction, holding: Holding) -> TrainingJob:
    """Raises NotFound, Conflict."""
    job = rows.jobs.find(holding.job_id)
    if job is None:
        raise NotFound("the job", "one that is there", holding.job_id, "Stop: it was deleted.")
    logs.note(job_id=job.id)
    return job.held_by(holding.worker_id, holding.attempt)


def _count_time(rows: Transaction, job: TrainingJob, now: float) -> None:
    """Of the attempt that ends now: a job that is paused or waits uses nothing."""
    if job.key_id is not None and job.state is JobState.RUNNING and job.claimed_at is not None:
        hour, job_s = int(now // HOUR_S) * HOUR_S, max(0.0, now - job.claimed_at)
        rows.records.add_usage(Usage(job.tenant_id, job.key_id, hour, job_s=job_s))
