"""People who sign on with an account of elsewhere, as the administrators of their tenant see them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from sixfold.service.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.people import IN_ADMIN, Principal, Scope, User
from sixfold.service.domain.sign_on import ISSUER, PERSON, SUBJECT, AccountIdentity
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit
from sixfold.service.use_cases.service import Service

AT_ONCE: Final = 100


@dataclass(frozen=True)
class UserRequest:
    """Somebody who may sign on from now on. `tenant`: its name; None: that of who asks."""

    identity: AccountIdentity
    scopes: frozenset[Scope]
    tenant: str | None = None


def page(service: Service, who: Principal, query: PageQuery) -> Page[User]:
    """Of the tenant."""
    who.require(Scope.ADMIN)
    with service.database.reading() as rows:
        return rows.users.page(who.tenant_id, query)


def add(service: Service, who: Principal, asked: UserRequest) -> User:
    """For operators. Raises Conflict (the name is taken, or the account in any tenant), Forbidden, NotFound, InvalidRequest."""
    with service.database.transaction() as rows:
        return make_known(service, rows, who, asked)


def make_known(service: Service, rows: Transaction, who: Principal, asked: UserRequest) -> User:
    """The same within the caller's transaction."""
    # An account is of one tenant of all: no tenant takes it from another.
    who.require(Scope.OPERATE)
    _must_have(who, asked.scopes)
    one = asked.identity
    for field, value, pattern in (
        ("name", one.name, PERSON),
        ("issuer", one.issuer, ISSUER),
        ("subject", one.subject, SUBJECT),
    ):
        if not re.fullmatch(pattern, value):
            expected, found = f"text that matches {pattern}", repr(value[:80])
            raise InvalidRequest(field, expected, found, "Write it as the provider does.")
    tenant_id = who.tenant_id if asked.tenant is None else _tenant_id(rows, asked.tenant)
    user = User(new_id("user"), tenant_id, one.name, service.now(), asked.scopes, one.id)
    rows.users.add(user)
    audit.record(service, rows, who, "user.create", user.id, scopes=sorted(asked.scopes))
    return user


def set_scopes(service: Service, who: Principal, user_id: str, scopes: Iterable[Scope]) -> User:
    """What a person may do, in open sessions and with their keys, too. Raises NotFound, Forbidden, Conflict."""
    who.require(Scope.ADMIN)
    wanted = frozenset(scopes)
    with service.database.transaction() as rows:
        changed = replace(_changeable(rows, who, user_id), scopes=wanted)
        _must_have(who, wanted)
        rows.users.save(changed)
        audit.record(service, rows, who, "user.scopes", user_id, scopes=sorted(wanted))
    service.key_changes.count += 1
    return changed


def disable(service: Service, who: Principal, user_id: str) -> User:
    """At once: neither a sign-on nor a session nor a key of theirs lets them in, until they are enabled again. Raises NotFound,
    Forbidden, Conflict.
    """
    return _turned(service, who, user_id, "user.disable", service.now())


def enable(service: Service, who: Principal, user_id: str) -> User:
    """With the sessions and keys that have not ended meanwhile. Raises NotFound, Forbidden, Conflict."""
    return _turned(service, who, user_id, "user.enable", None)


def remove(service: Service, who: Principal, user_id: str) -> User:
    """At once, with all sessions and keys of that person. Raises NotFound, Forbidden, Conflict."""
    who.require(Scope.ADMIN)
    with service.database.transaction() as rows:
        user = _changeable(rows, who, user_id)
        rows.users.remove(who.tenant_id, user_id)
        _revoke_keys(rows, user, service.now())
        audit.record(service, rows, who, "user.remove", user_id, name=user.name)
    service.key_changes.count += 1
    return user


def _turned(
    service: Service, who: Principal, user_id: str, verb: str, disabled_at: float | None
) -> User:
    who.require(Scope.ADMIN)
    with service.database.transaction() as rows:
        changed = replace(_changeable(rows, who, user_id), disabled_at=disabled_at)
        rows.users.save(changed)
        audit.record(service, rows, who, verb, user_id)
    service.key_changes.count += 1
    return changed


def _revoke_keys(rows: Transaction, user: User, now: float) -> None:
    query = PageQuery(AT_ONCE, where={"user_id": user.id})
    while True:
        found = rows.keys.page(user.tenant_id, query)
        for key in found.rows:
            if key.revoked_at is None:
                rows.keys.save(replace(key, revoked_at=now))
        if not found.more:
            return
        query = replace(query, after=found.rows[-1].id)


def _tenant_id(rows: Transaction, name: str) -> str:
    tenant = rows.tenants.named(name)
    if tenant is None:
        raise NotFound("tenant", "the name of one", repr(name[:80]), "List the tenants.")
    return tenant.id


def _changeable(rows: Transaction, who: Principal, user_id: str) -> User:
    """Nobody changes who may do more, nor locks themselves out."""
    user = rows.users.get(who.tenant_id, user_id)
    if user is None:
        raise NotFound("the user", "the id of one of yours", repr(user_id[:80]), "List your users.")
    _must_have(who, user.scopes)
    if user.id == who.user_id:
        remedy = "Ask another administrator."
        raise Conflict("the user", "another person than yourself", user.name, remedy)
    return user


def _must_have(who: Principal, scopes: frozenset[Scope]) -> None:
    missing = sorted(scopes - IN_ADMIN - who.scopes)
    if missing:
        raise Forbidden("scopes", "those of your own key", ", ".join(missing), "Leave them out.")
