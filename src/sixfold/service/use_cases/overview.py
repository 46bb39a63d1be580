"""What pages show of a tenant at one glance, and operators of the whole service: each is one moment, read at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


def versions_of(
    service: Service, who: Principal, deployment: Deployment
) -> Mapping[str, ModelVersion]:
    """All that a deployment names, by id."""
    who.require(Scope.READ)
    canary = None if deployment.canary is None else deployment.canary.version_id
    with service.database.reading() as rows:
        found = [
            rows.versions.get(who.tenant_id, one)
            for one in (deployment.version_id, canary, deployment.shadow)
            if one is not None
        ]
    return {version.id: version for version in found if version is not None}
