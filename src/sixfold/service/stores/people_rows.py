"""Tenants, users and keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select, update

from sixfold.service.domain.errors import Conflict, NotFound
from sixfold.service.domain.keys import ApiKey
from sixfold.service.domain.people import Scope, Tenant, User
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, StoreConnection, TenantRowsOf, page

TENANTS: Final = RowMapper(
    Tenant,
    tables.tenants,
    {
        "quota_jobs_running": lambda tenant: tenant.quota.jobs_running,
        "quota_memory_bytes": lambda tenant: tenant.quota.memory_bytes,
    },
)
USERS: Final = RowMapper(User, tables.users)
KEYS: Final = RowMapper(ApiKey, tables.keys)


@dataclass(frozen=True)
class TenantTable:
    """The tenants themselves."""

    store: StoreConnection

    def add(self, tenant: Tenant) -> None:
        """Raises Conflict."""
        insert = self.store.insert(tables.tenants).values(TENANTS.values(tenant))
        if not self.store.changed(insert.on_conflict_do_nothing()):
            raise Conflict(
                f"tenant {tenant.name}", "a free name", "one that is taken", "Choose another name."
            )

    def get(self, tenant_id: str) -> Tenant | None:
        """By its id."""
        return self._one("id", tenant_id)

    def named(self, name: str) -> Tenant | None:
        """By its name."""
        return self._one("name", name)

    def save(self, tenant: Tenant) -> None:
        """Raises NotFound."""
        change = update(tables.tenants).where(tables.tenants.c.id == tenant.id)
        if not self.store.changed(change.values(TENANTS.values(tenant))):
            raise NotFound(f"tenant {tenant.id}", "one that is there", "none", "List the tenants.")

    def page(self, query: PageQuery) -> Page[Tenant]:
        """By id."""
        return page(self.store, TENANTS, query)

    def _one(self, column: str, value: str) -> Tenant | None:
        found = select(tables.tenants).where(tables.tenants.c[column] == value)
        row = self.store.locked(found)
        return None if row is None else TENANTS.entity(row)


@dataclass(frozen=True)
class UserTable:
    """Persons."""

    rows: TenantRowsOf[User]

    def add(self, user: User) -> None:
        """Raises Conflict."""
        self.rows.add(user)

    def get(self, tenant_id: str, user_id: str) -> User | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=user_id))

    def of_subject(self, subject: str) -> User | None:
        """Of any tenant: the sign-on finds the tenant by it."""
        return self.rows.one(tables.users.c.subject == subject)

    def save(self, user: User) -> None:
        """Raises NotFound."""
        self.rows.replace(user)

    def remove(self, tenant_id: str, user_id: str) -> bool:
        """Whether it was there."""
        return self.rows.delete(tenant_id, id=user_id)

    def page(self, tenant_id: str, query: PageQuery) -> Page[User]:
        """By id."""
        return self.rows.page_of(tenant_id, query)


@dataclass(frozen=True)
class KeyTable:
    """API keys."""

    rows: TenantRowsOf[ApiKey]

    def add(self, key: ApiKey) -> None:
        """Raises Conflict."""
        self.rows.add(key)

    def of_hash(self, digest: str) -> ApiKey | None:
        """Of any tenant, and unlocked: every request of a key asks for it."""
        found = self.rows.many(tables.keys.c.hash == digest)
        return found[0] if found else None

    def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=key_id))

    def save(self, key: ApiKey) -> None:
        """Raises NotFound."""
        self.rows.replace(key)

    def page(self, tenant_id: str, query: PageQuery) -> Page[ApiKey]:
        """By id."""
        return self.rows.page_of(tenant_id, query)

    def any_of(self, scope: Scope, now: float) -> bool:
        """Of any tenant. The database drops the rows that cannot be it; the domain says what is valid."""
        keys = tables.keys.c
        found = self.rows.many(
            keys.revoked_at.is_(None),
            or_(keys.expires_at.is_(None), keys.expires_at > now),
        )
        return any(scope in key.scopes and key.valid(now) for key in found)
