"""What `/v1` calls a model: deployments, fine-tuned models and their checkpoints, and base models of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sixfold.service.domain.errors import InvalidRequest, NotFound
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import ModelVersion, RegisteredModel, VersionState
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import audit, deployments, registry
from sixfold.service.use_cases.service import Service

ALL = 100  # rows of a page, where all are read


@dataclass(frozen=True)
class ServedModel:
    """`name`: what requests call it; `kind`: deployment, fine-tuned, base."""

    name: str
    created_at: float
    kind: str


def models(service: Service, who: Principal) -> list[ServedModel]:
    """All of the tenant, oldest first."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        found = {one.name: one for one in _versions(rows, who.tenant_id)}
        for row in _deployments(rows, who.tenant_id):
            found[row.name] = row
    return sorted(found.values(), key=lambda one: (one.created_at, one.name))


def get(service: Service, who: Principal, name: str) -> ServedModel:
    """By a deployment's name, `ft:…`, NAME or NAME@alias. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        row = rows.deployments.named(who.tenant_id, name)
        if row is not None:
            return ServedModel(name, row.created_at, "deployment")
        version = version_of(rows, who.tenant_id, name)
        kind = "base" if version.served_as != name else "fine-tuned"
        return ServedModel(name, version.created_at, kind)


def delete(service: Service, who: Principal, name: str) -> None:
    """A deployment, or a fine-tuned model or checkpoint for good. Raises NotFound, Conflict where something points at it,
    InvalidRequest for a base model.
    """
    with service.database.transaction() as rows:
        if rows.deployments.named(who.tenant_id, name) is not None:
            deployments.remove(service, rows, who, name)
            return
        who.require(Scope.MODELS)
        version = version_of(rows, who.tenant_id, name)
        if version.served_as != name:
            raise InvalidRequest(
                "model",
                "a deployment, a fine-tuned model or a checkpoint",
                f"the base model {name[:80]!r}",
                "Delete its versions under /api/v1/models.",
            )
        registry.must_be_free(rows, version, "deleted")
        rows.versions.remove(who.tenant_id, version.id)
        audit.record(service, rows, who, "model.delete-version", name, version=version.number)


def version_of(rows: Transaction, tenant_id: str, name: str) -> ModelVersion:
    """The active version behind `ft:…`, NAME (the newest) or NAME@alias. Raises NotFound."""
    version = rows.versions.served(tenant_id, name)
    if version is None and ":" not in name:
        model, _, which = name.partition("@")
        version = registry.resolved(rows, tenant_id, model, which or registry.NEWEST)
    if version is None or version.state is VersionState.RETIRED:
        raise NotFound("model", "the name of a model of yours", repr(name[:80]), "List the models.")
    return version


def _versions(rows: Transaction, tenant_id: str) -> Iterator[ServedModel]:
    for one in rows.versions.tuned(tenant_id):
        yield ServedModel(one.served_as or "", one.created_at, "fine-tuned")
    active = VersionQuery(state=VersionState.ACTIVE)
    for model in _registered(rows, tenant_id):
        for newest in rows.versions.of_model(tenant_id, model.id, active).rows:
            if newest.served_as is None and generates(newest):
                yield ServedModel(model.name, model.created_at, "base")


def generates(version: ModelVersion) -> bool:
    """Whether it is a language model, by its bundle's signature."""
    signature = version.summary.get("signature") or {}
    return bool(signature.get("task") == "generation")


def _registered(rows: Transaction, tenant_id: str) -> Iterator[RegisteredModel]:
    after = None
    while True:
        some = rows.models.page(tenant_id, PageQuery(ALL, after))
        yield from some.rows
        if not some.more:
            return
        after = some.rows[-1].id


def _deployments(rows: Transaction, tenant_id: str) -> Iterator[ServedModel]:
    after = None
    while True:
        some = rows.deployments.page(tenant_id, PageQuery(ALL, after))
        yield from (ServedModel(one.name, one.created_at, "deployment") for one in some.rows)
        if not some.more:
            return
        after = some.rows[-1].id
