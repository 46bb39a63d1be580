"""Models: publish, point, retire."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sixfold.service.domain.errors import Conflict, NotFound
from sixfold.service.domain.ids import checked_name, new_id
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import (
    Alias,
    Lineage,
    ModelVersion,
    RegisteredModel,
    VersionState,
)
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import audit
from sixfold.service.use_cases.service import Service

NUMBER = re.compile(r"[1-9][0-9]{0,17}")  # of a version
NEWEST = "latest"  # the newest active version, where no alias has that name
KEPT_BEFORE = 20  # versions that an alias remembers for rolling back


@dataclass(frozen=True)
class ModelPage:
    """A model, some of its versions, newest first, and all its aliases."""

    model: RegisteredModel
    versions: Page[ModelVersion]
    aliases: tuple[Alias, ...]


@dataclass(frozen=True)
class NewVersion:
    """A bundle that is stored as a tree. `summary`, `receipt`: read from the bundle by whoever verified it."""

    tree: str
    bytes: int
    summary: Mapping[str, Any] = field(default_factory=dict)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)
    served_as: str | None = None


def publish(
    service: Service, rows: Transaction, tenant_id: str, name: str, new: NewVersion
) -> ModelVersion:
    """The next version of a model, which is made where there is none of that name. Within the caller's transaction, so that
    a job ends with exactly one version.
    """
    checked_name(name, "the model's name")
    now = service.now()
    model = rows.models.named(tenant_id, name)
    if model is None:
        model = RegisteredModel(new_id("model"), tenant_id, name, now)
        rows.models.add(model)
    newest = rows.versions.of_model(tenant_id, model.id, VersionQuery()).rows
    number = 1 + (newest[0].number if newest else 0)
    version = ModelVersion(
        new_id("version"),
        tenant_id,
        model.id,
        number,
        new.tree,
        new.bytes,
        now,
        new.summary,
        new.receipt,
        new.lineage,
        served_as=new.served_as,
    )
    rows.versions.add(version)
    return version


def models(service: Service, who: Principal, query: PageQuery) -> Page[RegisteredModel]:
    """Of the tenant."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return rows.models.page(who.tenant_id, query)


def model(service: Service, who: Principal, name: str, query: VersionQuery) -> ModelPage:
    """A model with some of its versions, and its aliases. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        one = found(rows, who.tenant_id, name)
        versions = rows.versions.of_model(who.tenant_id, one.id, query)
        return ModelPage(one, versions, rows.models.aliases(who.tenant_id, one.id))


def pointed(service: Service, who: Principal, aliases: Sequence[Alias]) -> dict[str, int]:
    """The numbers of the versions that aliases point at, by the versions' ids."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        targets = (rows.versions.get(who.tenant_id, one.version_id) for one in aliases)
        return {one.id: one.number for one in targets if one is not None}


def version(service: Service, who: Principal, name: str, which: str) -> ModelVersion:
    """`which`: a number, an alias, or `latest`. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return resolved(rows, who.tenant_id, name, which)


def promote(service: Service, who: Principal, name: str, alias: str, which: str) -> Alias:
    """Point an alias at a version. Raises Conflict for a retired one."""
    who.require(Scope.MODELS)
    checked_name(alias, "the alias")
    with service.database.transaction() as rows:
        target = resolved(rows, who.tenant_id, name, which)
        if target.state is VersionState.RETIRED:
            raise Conflict(
                f"version {target.number}", "an active one", "a retired one", "Choose another."
            )
        before = _alias(rows, target, alias)
        past = () if before is None else (before.version_id, *before.before)[:KEPT_BEFORE]
        pointed = Alias(who.tenant_id, target.model_id, alias, target.id, service.now(), past)
        rows.models.point(pointed)
        audit.record(service, rows, who, "model.promote", name, alias=alias, version=target.number)
    return pointed


def roll_back(service: Service, who: Principal, name: str, alias: str) -> Alias:
    """Point an alias at the version before that is still active. Raises Conflict where there is none."""
    who.require(Scope.MODELS)
    with service.database.transaction() as rows:
        one = found(rows, who.tenant_id, name)
        now_at = next(
            (a for a in rows.models.aliases(who.tenant_id, one.id) if a.name == alias), None
        )
        if now_at is None:
            raise NotFound("the alias", f"one of {name}", repr(alias[:80]), "List the model.")
        for at, version_id in enumerate(now_at.before):
            earlier = rows.versions.get(who.tenant_id, version_id)
            if earlier is not None and earlier.state is VersionState.ACTIVE:
                back = replace(
                    now_at,
                    version_id=version_id,
                    before=now_at.before[at + 1 :],
                    changed_at=service.now(),
                )
                rows.models.point(back)
                audit.record(
                    service, rows, who, "model.roll-back", name, alias=alias, version=earlier.number
                )
                return back
    raise Conflict(
        f"alias {alias}", "an earlier version that is active", "none", "Promote a version."
    )


def retire(service: Service, who: Principal, name: str, which: str) -> ModelVersion:
    """It answers nobody from now on. Raises Conflict where an alias or a deployment points at it."""
    who.require(Scope.MODELS)
    with service.database.transaction() as rows:
        target = resolved(rows, who.tenant_id, name, which)
        must_be_free(rows, target, "retired")
        retired = replace(target, state=VersionState.RETIRED)
        rows.versions.save(retired)
        audit.record(service, rows, who, "model.retire", name, version=target.number)
    return retired


def delete_version(service: Service, who: Principal, name: str, which: str) -> None:
    """For good; its bytes go with the next sweep. Raises Conflict where an alias or a deployment points at it."""
    who.require(Scope.MODELS)
    with service.database.transaction() as rows:
        target = resolved(rows, who.tenant_id, name, which)
        must_be_free(rows, target, "deleted")
        rows.versions.remove(who.tenant_id, target.id)
        audit.record(service, rows, who, "model.delete-version", name, version=target.number)


def found(rows: Transaction, tenant_id: str, name: str) -> RegisteredModel:
    """Raises NotFound."""
    one = rows.models.named(tenant_id, name)
    if one is None:
        raise NotFound(
            "the model", "the name of one of yours", repr(name[:80]), "List your models."
        )
    return one


def resolved(rows: Transaction, tenant_id: str, name: str, which: str) -> ModelVersion:
    """A model's version by number, alias or `latest`. Raises NotFound."""
    one = found(rows, tenant_id, name)
    aliases = {each.name: each.version_id for each in rows.models.aliases(tenant_id, one.id)}
    target = None
    if NUMBER.fullmatch(which):
        target = rows.versions.numbered(tenant_id, one.id, int(which))
    if target is None and which in aliases:
        target = rows.versions.get(tenant_id, aliases[which])
    elif target is None and which == NEWEST:
        active = VersionQuery(state=VersionState.ACTIVE)
        target = next(iter(rows.versions.of_model(tenant_id, one.id, active).rows), None)
    if target is not None:
        return target
    newest = rows.versions.of_model(tenant_id, one.id, VersionQuery(10)).rows
    known = ", ".join([NEWEST, *sorted(aliases), *(str(each.number) for each in newest)])
    raise NotFound(f"a version of {name}", f"one of {known}", repr(which[:80]), "Choose one.")


def _alias(rows: Transaction, target: ModelVersion, name: str) -> Alias | None:
    known = rows.models.aliases(target.tenant_id, target.model_id)
    return next((one for one in known if one.name == name), None)


def must_be_free(rows: Transaction, target: ModelVersion, verb: str) -> None:
    """Raises Conflict where an alias or a deployment points at it."""
    users = [
        f"the alias {one.name}"
        for one in rows.models.aliases(target.tenant_id, target.model_id)
        if one.version_id == target.id
    ]
    for one in rows.deployments.all():
        of_canary = () if one.canary is None else (one.canary.version_id,)
        if target.id in (one.version_id, one.shadow, *of_canary):
            users.append(f"the deployment {one.name}")
    if users:
        raise Conflict(
            f"version {target.number}",
            f"one that nothing points at, to be {verb}",
            ", ".join(users),
            "Point them elsewhere first.",
        )
