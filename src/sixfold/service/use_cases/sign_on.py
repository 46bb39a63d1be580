"""Signing on with an account of elsewhere: a person whom a provider vouches for is a user of a tenant, and gets a session."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from sixfold.service.domain.errors import Conflict, Forbidden, NotFound, ServiceError
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.people import Principal, Tenant, User
from sixfold.service.domain.records import Remembered
from sixfold.service.domain.sign_on import AccountIdentity, SignOnAttempt, SignOnRules, refused
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.sign_on import IdentityProvider
from sixfold.service.use_cases import audit, sessions
from sixfold.service.use_cases.people import FIRST_TENANT
from sixfold.service.use_cases.service import Service


@dataclass(frozen=True)
class SignOn:
    """`back`: the address to which the provider sends browsers; None: the one by which they ask."""

    provider: IdentityProvider
    rules: SignOnRules = field(default_factory=SignOnRules)
    back: str | None = None


@dataclass(frozen=True)
class SignOnAnswer:
    """What the provider gave the browser: `code`, or `error`."""

    state: str
    code: str = ""
    error: str = ""


def finish(
    service: Service, sign_on: SignOn, attempt: SignOnAttempt, answer: SignOnAnswer, back: str
) -> str:
    """The token of a new session. Raises Unauthenticated, Forbidden (a person who may not come in), Unavailable."""
    attempt.must_match(answer.state)
    if answer.error or not answer.code:
        raise refused("the provider's consent", repr(answer.error[:80]) or "no code")
    identity = sign_on.provider.identity(attempt, answer.code, back)
    try:
        with service.database.transaction() as rows:
            _once(service, rows, attempt)
            user = _user(service, rows, identity, sign_on.rules)
            return sessions.of_user(service, rows, user)
    except ServiceError as error:
        _audit_refusal(service, identity, error)
        raise


def _once(service: Service, rows: Transaction, attempt: SignOnAttempt) -> None:
    """Remembered for a day, by whichever server is asked; the provider's code lives for minutes."""
    key = "sign-on " + hashlib.sha256(attempt.state.encode()).hexdigest()
    row = Remembered(_first(rows).id, key, "", service.now(), 200)
    if rows.records.remember(row) is not None:
        raise refused("an answer that was not used before", "one that was")


def _user(
    service: Service, rows: Transaction, identity: AccountIdentity, rules: SignOnRules
) -> User:
    known = rows.users.of_subject(identity.id)
    if known is not None and known.disabled_at is not None:
        raise _stranger("a person who is not disabled", identity.name)
    if known is not None and rules.tenant_claim is None:
        return known
    tenant = _tenant(rows, identity, rules)
    if known is not None and known.tenant_id != tenant.id:
        raise _stranger(f"a person of the tenant {tenant.name}", "one of another tenant")
    if known is not None:
        return known
    if rules.scopes is None:
        raise _stranger("a person whom an operator made known", identity.name)
    return _made(service, rows, tenant, identity, rules)


def _made(
    service: Service,
    rows: Transaction,
    tenant: Tenant,
    identity: AccountIdentity,
    rules: SignOnRules,
) -> User:
    scopes = rules.scopes or frozenset()
    user = User(new_id("user"), tenant.id, identity.name, service.now(), scopes, identity.id)
    try:
        rows.users.add(user)
    except Conflict:  # a namesake
        user = replace(user, name=f"{user.name} {user.id}")
        rows.users.add(user)
    who = Principal(tenant.id, user.id, scopes, user.id)
    audit.record(service, rows, who, "user.create", user.id, scopes=sorted(scopes))
    return user


def _tenant(rows: Transaction, identity: AccountIdentity, rules: SignOnRules) -> Tenant:
    if rules.tenant_claim is None:
        return _first(rows)
    named = identity.claims.get(rules.tenant_claim)
    tenant = rows.tenants.named(named) if isinstance(named, str) else None
    if tenant is None:
        expected = f"the name of a tenant in the claim {rules.tenant_claim}"
        raise _stranger(expected, repr(named)[:80])
    return tenant


def _first(rows: Transaction) -> Tenant:
    tenant = rows.tenants.named(FIRST_TENANT)
    if tenant is None:
        raise NotFound("the first tenant", "one that is there", "none", "Start the server once.")
    return tenant


def _stranger(expected: str, found: str) -> Forbidden:
    return Forbidden("the sign-on", expected, found, "Ask your administrator.")


def _audit_refusal(service: Service, identity: AccountIdentity, error: ServiceError) -> None:
    """A person whom the provider vouches for; nobody else writes into this log."""
    with service.database.transaction() as rows:
        tenant = _first(rows)
        audit.refused(service, rows, tenant.id, identity.id, error.code)
