"""Tenants and keys: who may come in, and what they may do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from sixfold.service.domain.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from sixfold.service.domain.ids import checked_name, new_id
from sixfold.service.domain.keys import SHOWN, ApiKey, digest_of, new_key, well_formed
from sixfold.service.domain.people import Principal, Quota, Scope, Tenant, allowed
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit
from sixfold.service.use_cases.service import Service

FIRST_TENANT = "main"
USED_EVERY_S = (
    60.0  # how exactly it is known when a key was used: a write a minute, not one a request
)
OVERLAP_S = 24 * 3600.0  # how long a rotated key stays good


@dataclass(frozen=True)
class KeyRequest:
    """`expires_after_s`: None for never. `user_id`: of the person whom it stands for."""

    name: str
    scopes: frozenset[Scope]
    expires_after_s: float | None = None
    user_id: str | None = None


def authenticate(service: Service, key: str) -> Principal:
    """Whose key it is. Raises Unauthenticated, which does not tell why."""
    if well_formed(key):
        digest, now = digest_of(key), service.now()
        with service.database.reading() as rows:
            known = rows.keys.of_hash(digest)
            scopes = None if known is None else granted(rows, known)
        if known is not None and scopes is not None and known.matches(digest) and known.valid(now):
            mark_used(service, known)
            return Principal(known.tenant_id, known.id, scopes, known.user_id)
    raise Unauthenticated(
        "the Authorization header",
        "Bearer and a valid key",
        "none that is valid",
        "Send a key that is neither revoked nor expired.",
    )


def first_start(service: Service) -> str | None:
    """The first tenant and a key that may do everything, shown once; None where there is one already."""
    with service.database.transaction() as rows:
        if rows.tenants.named(FIRST_TENANT) is not None:
            return None
        tenant = Tenant(new_id("tenant"), FIRST_TENANT, service.now(), Quota())
        rows.tenants.add(tenant)
        _, key = _made(
            service,
            rows,
            tenant.id,
            KeyRequest("first", frozenset({Scope.ADMIN, Scope.OPERATE, Scope.WORK})),
        )
        return key


def worker_key(service: Service) -> str:
    """A key for workers on the server's own machine."""
    with service.database.transaction() as rows:
        tenant = rows.tenants.named(FIRST_TENANT)
        if tenant is None:
            raise NotFound(
                "the first tenant", "one that is there", "none", "Start the server once."
            )
        request = KeyRequest("workers of this machine", frozenset({Scope.WORK}))
        return _made(service, rows, tenant.id, request)[1]


def create_key(service: Service, who: Principal, request: KeyRequest) -> tuple[ApiKey, str]:
    """The key's row, and the key itself: never shown again. Raises Forbidden for scopes that `who` does not have."""
    with service.database.transaction() as rows:
        return add_key(service, rows, who, request)


def add_key(
    service: Service, rows: Transaction, who: Principal, request: KeyRequest
) -> tuple[ApiKey, str]:
    """The same within the caller's transaction."""
    who.require(Scope.KEYS)
    missing = sorted(scope for scope in request.scopes if not who.allows(scope))
    if missing:
        raise Forbidden("scopes", "those of your own key", ", ".join(missing), "Leave them out.")
    if not request.scopes or not request.name or len(request.name) > 64:
        raise InvalidRequest(
            "the key", "a name of 1 to 64 characters and a scope", "none", "Add it."
        )
    row, key = _made(service, rows, who.tenant_id, request)
    audit.record(service, rows, who, "key.create", row.id, scopes=sorted(request.scopes))
    return row, key


def rotate_key(
    service: Service, who: Principal, key_id: str, overlap_s: float = OVERLAP_S
) -> tuple[ApiKey, str]:
    """A new key with the same scopes; the old one stays good for `overlap_s`, or as long as it would have been.

    Raises NotFound, Forbidden, and Conflict for one that is revoked or expired.
    """
    with service.database.transaction() as rows:
        made = add_successor(service, rows, who, key_id, overlap_s)
    service.key_changes.count += 1
    return made


def add_successor(
    service: Service,
    rows: Transaction,
    who: Principal,
    key_id: str,
    overlap_s: float = OVERLAP_S,
) -> tuple[ApiKey, str]:
    """The same within the caller's transaction."""
    who.require(Scope.KEYS)
    old = _found(rows, who.tenant_id, key_id)
    missing = sorted(scope for scope in old.scopes if not who.allows(scope))
    if missing:
        raise Forbidden("the key", "scopes that you have", ", ".join(missing), "Ask its owner.")
    now = service.now()
    if not old.valid(now):
        raise Conflict("the key", "one that is good", "one that ended", "Make a new one.")
    ends = now + overlap_s
    rows.keys.save(
        replace(old, expires_at=ends if old.expires_at is None else min(ends, old.expires_at))
    )
    lasts = None if old.expires_at is None else old.expires_at - old.created_at
    request = KeyRequest(old.name, old.scopes, lasts, old.user_id)
    row, key = _made(service, rows, who.tenant_id, request, rotated_from=old.id)
    audit.record(service, rows, who, "key.rotate", key_id, new=row.id)
    return row, key


def revoke_key(service: Service, who: Principal, key_id: str) -> ApiKey:
    """At once. Raises NotFound."""
    who.require(Scope.KEYS)
    with service.database.transaction() as rows:
        row = _found(rows, who.tenant_id, key_id)
        if row.revoked_at is None:
            row = replace(row, revoked_at=service.now())
            rows.keys.save(row)
            audit.record(service, rows, who, "key.revoke", key_id)
    service.key_changes.count += 1
    return row


def keys(service: Service, who: Principal, query: PageQuery) -> Page[ApiKey]:
    """Of the tenant."""
    who.require(Scope.KEYS)
    with service.database.reading() as rows:
        return rows.keys.page(who.tenant_id, query)


def create_tenant(service: Service, who: Principal, name: str, quota: Quota) -> tuple[Tenant, str]:
    """A tenant, and a key that administers it: never shown again. Raises Conflict."""
    with service.database.transaction() as rows:
        return add_tenant(service, rows, who, name, quota)


def add_tenant(
    service: Service, rows: Transaction, who: Principal, name: str, quota: Quota
) -> tuple[Tenant, str]:
    """The same within the caller's transaction."""
    who.require(Scope.OPERATE)
    tenant = Tenant(new_id("tenant"), checked_name(name, "the tenant's name"), service.now(), quota)
    rows.tenants.add(tenant)
    _, key = _made(service, rows, tenant.id, KeyRequest("first", frozenset({Scope.ADMIN})))
    audit.record(service, rows, who, "tenant.create", tenant.id, name=name)
    return tenant, key


def set_quota(service: Service, who: Principal, tenant_id: str, quota: Quota) -> Tenant:
    """Raises NotFound."""
    who.require(Scope.OPERATE)
    with service.database.transaction() as rows:
        tenant = rows.tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("the tenant", "the id of one", repr(tenant_id[:80]), "List the tenants.")
        changed = replace(tenant, quota=quota)
        rows.tenants.save(changed)
        audit.record(service, rows, who, "tenant.quota", tenant_id)
    return changed


def tenants(service: Service, who: Principal, query: PageQuery) -> Page[Tenant]:
    """All of them: for operators."""
    who.require(Scope.OPERATE)
    with service.database.reading() as rows:
        return rows.tenants.page(query)


def granted(rows: Transaction, key: ApiKey) -> frozenset[Scope] | None:
    """What a key opens: of a person's no more than that person may do by now; None: that person is disabled or gone."""
    if key.user_id is None:
        return key.scopes
    user = rows.users.get(key.tenant_id, key.user_id)
    if user is None or user.disabled_at is not None:
        return None
    return allowed(key.scopes) & allowed(user.scopes)


def mark_used(service: Service, key: ApiKey) -> None:
    """Of a key or a session, and of the person whom it stands for. On a full disk it is not known, and who only reads goes on."""
    now = service.now()
    if key.used_at is not None and now - key.used_at <= USED_EVERY_S:
        return
    with suppress(Unavailable), service.database.transaction() as rows:
        user = None if key.user_id is None else rows.users.get(key.tenant_id, key.user_id)
        if user is not None:  # before the key, as where a person is removed
            rows.users.save(replace(user, used_at=now))
        known = rows.keys.get(key.tenant_id, key.id)
        if known is not None:
            rows.keys.save(replace(known, used_at=now))


def _found(rows: Transaction, tenant_id: str, key_id: str) -> ApiKey:
    row = rows.keys.get(tenant_id, key_id)
    if row is None:
        raise NotFound("the key", "the id of a key of yours", repr(key_id[:80]), "List your keys.")
    return row


def _made(
    service: Service,
    rows: Transaction,
    tenant_id: str,
    request: KeyRequest,
    rotated_from: str | None = None,
) -> tuple[ApiKey, str]:
    key, now = new_key(), service.now()
    row = ApiKey(
        new_id("key"),
        tenant_id,
        request.name,
        digest_of(key),
        key[:SHOWN],
        request.scopes,
        now,
        request.user_id,
        None if request.expires_after_s is None else now + request.expires_after_s,
        rotated_from=rotated_from,
    )
    rows.keys.add(row)
    return row, key
