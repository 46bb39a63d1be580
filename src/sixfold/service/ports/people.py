"""Tenants, users and keys."""

from __future__ import annotations

from typing import Protocol

from sixfold.service.domain.keys import ApiKey
from sixfold.service.domain.people import Scope, Tenant, User
from sixfold.service.ports.pages import Page, PageQuery


class TenantRows(Protocol):
    """Of the whole service: only operators come here."""

    def add(self, tenant: Tenant) -> None:
        """Raises Conflict where the name is taken."""

    def get(self, tenant_id: str) -> Tenant | None: ...
    def named(self, name: str) -> Tenant | None: ...
    def save(self, tenant: Tenant) -> None: ...
    def page(self, query: PageQuery) -> Page[Tenant]: ...


class UserRows(Protocol):
    """Of one tenant, but for the sign-on."""

    def add(self, user: User) -> None:
        """Raises Conflict where the name is taken in the tenant, or the subject anywhere."""

    def get(self, tenant_id: str, user_id: str) -> User | None: ...
    def of_subject(self, subject: str) -> User | None: ...
    def save(self, user: User) -> None: ...
    def remove(self, tenant_id: str, user_id: str) -> bool: ...
    def page(self, tenant_id: str, query: PageQuery) -> Page[User]: ...


class KeyRows(Protocol):
    """Of one tenant, but for the look-up by hash."""

    def add(self, key: ApiKey) -> None: ...
    def of_hash(self, digest: str) -> ApiKey | None:
        """By a bound parameter."""

    def get(self, tenant_id: str, key_id: str) -> ApiKey | None: ...
    def save(self, key: ApiKey) -> None: ...
    def page(self, tenant_id: str, query: PageQuery) -> Page[ApiKey]: ...
    def any_of(self, scope: Scope, now: float) -> bool:
        """Whether a valid key with that scope exists anywhere: a public host needs one."""
