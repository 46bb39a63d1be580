"""Deployments: which versions answer under which name. The gateway makes it so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sixfold.service.domain.deployments import Canary, Deployment, DeploymentState, Scaling
from sixfold.service.domain.errors import Conflict, InvalidRequest, NotFound
from sixfold.service.domain.ids import checked_name, new_id
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import VersionState
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit, registry
from sixfold.service.use_cases.service import Service


@dataclass(frozen=True)
class VersionName:
    """A model's version: by number, alias or `latest`."""

    model: str
    version: str = "latest"


@dataclass(frozen=True)
class DeploymentRequest:
    """`canary`: a second target and its rules, whose `version_id` is filled in here. `shadow`: asked the same, heard by
    nobody.
    """

    target: VersionName
    scaling: Scaling = field(default_factory=Scaling)
    canary: tuple[VersionName, Canary] | None = None
    shadow: VersionName | None = None
    log_share: float = 0.0


def deploy(
    service: Service, rows: Transaction, who: Principal, name: str, asked: DeploymentRequest
) -> Deployment:
    """A new deployment, or the next generation of the one of that name: its versions are swapped once the new ones answer.
    Within the caller's transaction. Raises NotFound, Conflict, InvalidRequest.
    """
    who.require(Scope.DEPLOY)
    checked_name(name, "name")
    _check(asked)
    canary = None
    if asked.canary is not None:
        target, rules = asked.canary
        canary = replace(rules, version_id=_active(rows, who, target))
    made = Deployment(
        new_id("deployment"),
        who.tenant_id,
        name,
        _active(rows, who, asked.target),
        service.now(),
        canary=canary,
        shadow=None if asked.shadow is None else _active(rows, who, asked.shadow),
        scaling=asked.scaling,
        log_share=asked.log_share,
    )
    known = rows.deployments.named(who.tenant_id, name)
    if known is None:
        rows.deployments.add(made)
    else:
        kept = replace(made, id=known.id, created_at=known.created_at)
        made = rows.deployments.save(replace(kept, generation=known.generation))
    audit.record(service, rows, who, "deployment.deploy", name, version=made.version_id)
    return made


def get(service: Service, who: Principal, name: str) -> Deployment:
    """Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return found(rows, who.tenant_id, name)


def page(service: Service, who: Principal, query: PageQuery) -> Page[Deployment]:
    """Of the tenant."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return rows.deployments.page(who.tenant_id, query)


def delete(service: Service, who: Principal, name: str) -> None:
    """Requests in work are finished first. Raises NotFound."""
    with service.database.transaction() as rows:
        remove(service, rows, who, name)


def remove(service: Service, rows: Transaction, who: Principal, name: str) -> None:
    """The same within the caller's transaction."""
    who.require(Scope.DEPLOY)
    one = found(rows, who.tenant_id, name)
    rows.deployments.remove(who.tenant_id, one.id)
    audit.record(service, rows, who, "deployment.delete", name)


def became(
    service: Service, known: Deployment, state: DeploymentState, reason: str = ""
) -> Deployment | None:
    """What the gateway saw; None where the deployment was changed or deleted in the meantime."""
    return _by_gateway(service, known, replace(known, state=state, reason=reason))


def rolled_back(service: Service, known: Deployment, reason: str) -> Deployment | None:
    """The gateway ends a canary that answers worse than the first version."""
    return _by_gateway(service, known, replace(known, canary=None, reason=reason))


def found(rows: Transaction, tenant_id: str, name: str) -> Deployment:
    """Raises NotFound."""
    one = rows.deployments.named(tenant_id, name)
    if one is None:
        raise NotFound(
            "the deployment", "the name of one of yours", repr(name[:80]), "List your deployments."
        )
    return one


def _by_gateway(service: Service, known: Deployment, changed: Deployment) -> Deployment | None:
    try:
        with service.database.transaction() as rows:
            stored = rows.deployments.get(known.tenant_id, known.id)
            if stored is None or stored.generation != known.generation:
                return None
            return rows.deployments.save(changed)
    except Conflict:
        return None


def _active(rows: Transaction, who: Principal, target: VersionName) -> str:
    version = registry.resolved(rows, who.tenant_id, target.model, target.version)
    if version.state is VersionState.RETIRED:
        raise Conflict(
            f"version {version.number}", "an active one", "a retired one", "Choose another."
        )
    return version.id


def _check(asked: DeploymentRequest) -> None:
    scaling = asked.scaling
    if not 0 <= scaling.least <= scaling.most or scaling.most < 1:
        raise InvalidRequest(
            "scaling",
            "0 <= least <= most, most at least 1",
            f"{scaling.least} and {scaling.most}",
            "Set them so.",
        )
    if scaling.least == 0 and scaling.sleep_after_s is None:
        raise InvalidRequest("scaling.sleep_after_s", "seconds, with least: 0", "none", "Set it.")
