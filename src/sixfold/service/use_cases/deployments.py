"""Deployments: which versions answer under which name. The gateway makes it so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from sixfold.service.domain.deployments import (
    Canary,
    Deployment,
    DeploymentState,
    DriftLimits,
    Scaling,
)
from sixfold.service.domain.errors import Conflict, InvalidRequest, NotFound
from sixfold.service.domain.ids import checked_name, new_id
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import VersionState
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit, registry
from sixfold.service.use_cases.service import Service

KEPT_BEFORE: Final = 20  # versions that a deployment remembers for rolling back
BOUNDS: Final = {  # of numbers that are asked for, each included
    "scaling.least": (0, 64),
    "scaling.most": (1, 64),
    "scaling.sleep_after_s": (1, 30 * 86400),
    "scaling.target_queue": (1, 1000),
    "scaling.most_together": (1, 256),
    "canary.share": (0, 1),
    "canary.most_errors": (0, 1),
    "canary.most_slower": (1, 1000),
    "canary.least_requests": (1, 1_000_000),
    "log_share": (0, 1),
}


@dataclass(frozen=True)
class VersionName:
    """A model's version: by number, alias or `latest`."""

    model: str
    version: str = "latest"


@dataclass(frozen=True)
class DeploymentRequest:
    """`canary`: a second target and its rules, whose `version_id` is filled in here. `shadow`: asked the same, heard by
    nobody. `drift`: left out, those of the deployment that is there, else the usual ones.
    """

    target: VersionName
    scaling: Scaling = field(default_factory=Scaling)
    canary: tuple[VersionName, Canary] | None = None
    shadow: VersionName | None = None
    log_share: float = 0.0
    drift: DriftLimits | None = None


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
        drift=asked.drift or DriftLimits(),
    )
    known = rows.deployments.named(who.tenant_id, name)
    if known is None:
        rows.deployments.add(made)
    else:
        kept = replace(
            made,
            id=known.id,
            created_at=known.created_at,
            generation=known.generation,
            drift=asked.drift or known.drift,
            before=_before(known, made.version_id),
        )
        made = rows.deployments.save(kept)
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


def roll_back(service: Service, who: Principal, name: str) -> Deployment:
    """The newest version that answered before and is still active answers again; a canary ends. Raises NotFound, Conflict where
    there is none.
    """

    def change(rows: Transaction, one: Deployment) -> Deployment:
        for at, version_id in enumerate(one.before):
            if _is_active(rows, who, version_id):
                before = one.before[at + 1 :]
                return replace(one, version_id=version_id, before=before, canary=None, reason="")
        raise Conflict(
            f"deployment {name}", "an earlier version that is active", "none", "Deploy a version."
        )

    return _change(service, who, name, "roll-back", change)


def promote_canary(service: Service, who: Principal, name: str) -> Deployment:
    """The canary's version answers everything from now on. Raises NotFound, Conflict where there is no canary."""

    def change(_: Transaction, one: Deployment) -> Deployment:
        version_id = _canary(one).version_id
        before = _before(one, version_id)
        return replace(one, version_id=version_id, before=before, canary=None, reason="")

    return _change(service, who, name, "promote-canary", change)


def end_canary(service: Service, who: Principal, name: str) -> Deployment:
    """The first version answers everything again. Raises NotFound, Conflict where there is no canary."""

    def change(_: Transaction, one: Deployment) -> Deployment:
        return replace(one, canary=None, reason="" if _canary(one) else one.reason)

    return _change(service, who, name, "end-canary", change)


def set_drift(service: Service, who: Principal, name: str, limits: DriftLimits) -> Deployment:
    """From where on a column counts as drifted. Raises NotFound."""
    return _change(service, who, name, "set-drift", lambda _, one: replace(one, drift=limits))


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


def _change(
    service: Service,
    who: Principal,
    name: str,
    verb: str,
    change: Callable[[Transaction, Deployment], Deployment],
) -> Deployment:
    who.require(Scope.DEPLOY)
    with service.database.transaction() as rows:
        saved = rows.deployments.save(change(rows, found(rows, who.tenant_id, name)))
        audit.record(service, rows, who, f"deployment.{verb}", name, version=saved.version_id)
    return saved


def _canary(one: Deployment) -> Canary:
    if one.canary is None:
        raise Conflict(f"deployment {one.name}", "a canary", "none", "Deploy one first.")
    return one.canary


def _before(known: Deployment, version_id: str) -> tuple[str, ...]:
    """Those that answered before `version_id`: the deployment's own now, and those before it."""
    if version_id == known.version_id:
        return known.before
    past = dict.fromkeys((known.version_id, *known.before))
    return tuple(one for one in past if one != version_id)[:KEPT_BEFORE]


def _is_active(rows: Transaction, who: Principal, version_id: str) -> bool:
    version = rows.versions.get(who.tenant_id, version_id)
    return version is not None and version.state is VersionState.ACTIVE


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
    rules = asked.canary[1] if asked.canary is not None else Canary("", 0.0)
    for name, (least, most) in BOUNDS.items():
        section, _, field = name.rpartition(".")
        owner = {"scaling": scaling, "canary": rules}.get(section, asked)
        value = vars(owner)[field]
        if value is not None and not least <= value <= most:
            allowed = f"{least:g} to {most:g}"
            raise InvalidRequest(name, allowed, f"{value:g}", "Choose such a number.")
    if scaling.least > scaling.most:
        found = f"{scaling.least} and {scaling.most}"
        raise InvalidRequest("scaling", "least <= most", found, "Set them so.")
    if scaling.least == 0 and scaling.sleep_after_s is None:
        raise InvalidRequest("scaling.sleep_after_s", "seconds, with least: 0", "none", "Set it.")
