"""Models, their versions, and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sixfold.service.domain.registry import Alias, ModelVersion, RegisteredModel, VersionState
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, TenantRowsOf

MODELS: Final = RowMapper(RegisteredModel, tables.models)
VERSIONS: Final = RowMapper(ModelVersion, tables.versions)
ALIASES: Final = RowMapper(Alias, tables.aliases)


@dataclass(frozen=True)
class ModelTable:
    """Models and the names that point at their versions."""

    rows: TenantRowsOf[RegisteredModel]

    def add(self, model: RegisteredModel) -> None:
        """Raises Conflict."""
        self.rows.add(model)

    def named(self, tenant_id: str, name: str) -> RegisteredModel | None:
        """By its name."""
        return self.rows.one(*self.rows.of(tenant_id, name=name))

    def get(self, tenant_id: str, model_id: str) -> RegisteredModel | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=model_id))

    def page(self, tenant_id: str, query: PageQuery) -> Page[RegisteredModel]:
        """By id."""
        return self.rows.page_of(tenant_id, query)

    def remove(self, tenant_id: str, model_id: str) -> bool:
        """What hangs on it first."""
        self._aliases.delete(tenant_id, model_id=model_id)
        TenantRowsOf(self.rows.store, VERSIONS).delete(tenant_id, model_id=model_id)
        return self.rows.delete(tenant_id, id=model_id)

    def point(self, alias: Alias) -> None:
        """New, or changed. Raises Conflict where the version is not there."""
        row = ALIASES.values(alias)
        insert = self.rows.store.insert(tables.aliases).values(row)
        unique = ["tenant_id", "model_id", "name"]
        self.rows.store.changed(insert.on_conflict_do_update(index_elements=unique, set_=row))

    def aliases(self, tenant_id: str, model_id: str) -> tuple[Alias, ...]:
        """By name."""
        own = self._aliases.of(tenant_id, model_id=model_id)
        return self._aliases.many(*own, order=[tables.aliases.c.name.asc()])

    @property
    def _aliases(self) -> TenantRowsOf[Alias]:
        return TenantRowsOf(self.rows.store, ALIASES)


@dataclass(frozen=True)
class VersionTable:
    """Versions of models."""

    rows: TenantRowsOf[ModelVersion]

    def add(self, version: ModelVersion) -> None:
        """Raises Conflict."""
        self.rows.add(version)

    def get(self, tenant_id: str, version_id: str) -> ModelVersion | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=version_id))

    def served(self, tenant_id: str, name: str) -> ModelVersion | None:
        """By the name under which it is called."""
        return self.rows.one(*self.rows.of(tenant_id, served_as=name))

    def tuned(self, tenant_id: str) -> tuple[ModelVersion, ...]:
        """All active ones that have a `served_as`."""
        own = self.rows.of(tenant_id, state=VersionState.ACTIVE)
        return self.rows.many(*own, tables.versions.c.served_as.is_not(None))

    def numbered(self, tenant_id: str, model_id: str, number: int) -> ModelVersion | None:
        """By its number in the model."""
        return self.rows.one(*self.rows.of(tenant_id, model_id=model_id, number=number))

    def of_model(self, tenant_id: str, model_id: str, query: VersionQuery) -> Page[ModelVersion]:
        """Newest first. One version more than is asked for is read: it tells whether there are more."""
        own = self.rows.of(tenant_id, model_id=model_id)
        if query.before is not None:
            own.append(tables.versions.c.number < query.before)
        if query.state is not None:
            own.append(tables.versions.c.state == query.state)
        newest = [tables.versions.c.number.desc()]
        found = self.rows.many(*own, order=newest, limit=query.limit + 1)
        return Page(found[: query.limit], len(found) > query.limit)

    def save(self, version: ModelVersion) -> None:
        """Raises NotFound."""
        self.rows.replace(version)

    def remove(self, tenant_id: str, version_id: str) -> bool:
        """Whether it was there. Raises Conflict where an alias points at it."""
        return self.rows.delete(tenant_id, id=version_id)
