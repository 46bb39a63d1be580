"""What pages show of a tenant at one glance, and operators of the whole service: each is one moment, read at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sixfold.service.domain.deployments import Deployment
from sixfold.service.domain.errors import NotFound
from sixfold.service.domain.jobs import JobEvent, JobState, TrainingJob, WorkerMachine
from sixfold.service.domain.people import Principal, Scope, Tenant
from sixfold.service.domain.records import AuditEntry, Usage
from sixfold.service.domain.registry import ModelVersion, RegisteredModel
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import jobs
from sixfold.service.use_cases.service import Service

SHOWN = 6
DAY_S = 86400
RUNNING: Final = {"state": str(JobState.RUNNING)}
MOST_RUNNING: Final = 1000  # that are added up


@dataclass(frozen=True)
class TenantOverview:
    """Counts of jobs by state, and the newest of everything."""

    counts: Mapping[JobState, int]
    jobs: tuple[TrainingJob, ...]
    models: tuple[RegisteredModel, ...]
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True)
class TenantUse:
    """Limits of a tenant beside what it holds; `usage`: of its keys, over the last day."""

    tenant: Tenant
    stored_bytes: int
    counts: Mapping[JobState, int]
    usage: tuple[Usage, ...]


@dataclass(frozen=True)
class SystemOverview:
    """Who works, on what, and what was changed last in the operator's tenant."""

    workers: tuple[WorkerMachine, ...]
    held: Mapping[str, int]
    audit: tuple[AuditEntry, ...]


@dataclass(frozen=True)
class TenantRoom:
    """Where a job of this tenant may run. `largest_bytes`: what the largest worker may use in all, None where there is no worker;
    `free_bytes`: the most that is free on one now. `quota_bytes`: of all running jobs of the tenant together, None for any;
    `running_bytes`: what they are planned to take. `waiting`: jobs of the tenant before this one.
    """

    largest_bytes: int | None
    free_bytes: int
    quota_bytes: int | None
    running_bytes: int
    waiting: int

    @property
    def most_bytes(self) -> int | None:
        """What a job may be planned to take, ever; None where nobody knows yet."""
        known = [one for one in (self.largest_bytes, self.quota_bytes) if one is not None]
        return min(known, default=None)

    def fits(self, needed_bytes: int) -> str:
        """`now`, `later`, when others have ended, `never`, or `unknown`, where no worker has said hello."""
        if self.most_bytes is not None and needed_bytes > self.most_bytes:
            return "never"
        if self.largest_bytes is None:
            return "unknown"
        within = self.quota_bytes is None or self.running_bytes + needed_bytes <= self.quota_bytes
        return "now" if within and needed_bytes <= self.free_bytes else "later"


def overview(service: Service, who: Principal) -> TenantOverview:
    """Of the tenant."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        newest = PageQuery(SHOWN)
        return TenantOverview(
            rows.jobs.counts(who.tenant_id),
            rows.jobs.page(who.tenant_id, newest).rows,
            rows.models.page(who.tenant_id, newest).rows,
            rows.deployments.page(who.tenant_id, newest).rows,
        )


def use(service: Service, who: Principal) -> TenantUse:
    """Of the tenant."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        tenant = rows.tenants.get(who.tenant_id)
        if tenant is None:
            raise NotFound("the tenant", "one that is there", who.tenant_id, "Sign in again.")
        since = int(service.now()) - DAY_S
        return TenantUse(
            tenant,
            rows.files.stored_bytes(tenant.id),
            rows.jobs.counts(tenant.id),
            rows.records.usage(tenant.id, since),
        )


def room(service: Service, who: Principal) -> TenantRoom:
    """Of the tenant, on all workers."""
    who.require(Scope.JOBS)
    with service.database.reading() as rows:
        tenant, machines = rows.tenants.get(who.tenant_id), rows.workers.all()
        counts = rows.jobs.counts(who.tenant_id)
        running = rows.jobs.page(who.tenant_id, PageQuery(MOST_RUNNING, where=RUNNING)).rows
    return TenantRoom(
        max((one.memory_bytes for one in machines), default=None),
        max((one.free_bytes for one in machines), default=0),
        None if tenant is None else tenant.quota.memory_bytes,
        sum(one.needs.memory_bytes for one in running if one.needs is not None),
        counts[JobState.QUEUED] + counts[JobState.VALIDATING],
    )


def system(service: Service, who: Principal) -> SystemOverview:
    """For operators."""
    who.require(Scope.OPERATE)
    with service.database.reading() as rows:
        held: dict[str, int] = {}
        for one in rows.jobs.held():
            held[one.worker_id] = held.get(one.worker_id, 0) + 1
        audit = rows.records.audited(who.tenant_id, PageQuery(20)).rows
        return SystemOverview(rows.workers.all(), held, audit)


def newest_events(
    service: Service, who: Principal, job_id: str, before: int | None, limit: int
) -> tuple[JobEvent, ...]:
    """Of a job, newest first, before the number `before`. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        jobs.found(rows, who.tenant_id, job_id)
        return rows.events.before(who.tenant_id, job_id, before, limit)


def newest_of_kinds(
    service: Service, who: Principal, job_id: str, kinds: Collection[str], among: int
) -> tuple[JobEvent, ...]:
    """Events of these kinds among the newest ones of a job, oldest first. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        jobs.found(rows, who.tenant_id, job_id)
        behind = max(0, rows.events.last_seq(job_id) - among)
        return rows.events.of_kinds(who.tenant_id, job_id, kinds, behind)


def models_of(
    service: Service, who: Principal, versions: Iterable[ModelVersion]
) -> Mapping[str, str]:
    """Names of the models that versions are of, by the model's id."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        ids = {one.model_id for one in versions}
        found = [rows.models.get(who.tenant_id, one) for one in sorted(ids)]
    return {one.id: one.name for one in found if one is not None}


def versions_of(
    service: Service, who: Principal, deployment: Deployment, ids: Sequence[str] | None = None
) -> Mapping[str, ModelVersion]:
    """Those with `ids`, in their order; left out, all that a deployment names: by id."""
    who.require(Scope.READ)
    canary = None if deployment.canary is None else deployment.canary.version_id
    if ids is None:
        named = (deployment.version_id, canary, deployment.shadow)
        ids = [one for one in named if one is not None]
    with service.database.reading() as rows:
        found = [rows.versions.get(who.tenant_id, one) for one in ids]
    return {version.id: version for version in found if version is not None}
