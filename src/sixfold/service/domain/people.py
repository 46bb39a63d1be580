"""Tenants, users, and who asks: a principal with its scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sixfold.core.errors import did_you_mean
from sixfold.service.domain.errors import Forbidden, InvalidRequest


class Scope(StrEnum):
    """What a key may do. `ADMIN` includes all others of its tenant; `OPERATE` is of those who run the machine: tenants,
    workers, the system page; `WORK` is of workers alone.
    """

    READ = "read"
    JOBS = "jobs"
    FILES = "files"
    MODELS = "models"
    DEPLOY = "deploy"
    PREDICT = "predict"
    KEYS = "keys"
    ADMIN = "admin"
    OPERATE = "operate"
    WORK = "work"


IN_ADMIN = frozenset(Scope) - {Scope.OPERATE, Scope.WORK}
ROLES: Final[
    Mapping[str, frozenset[Scope]]
] = {  # names of sets of scopes; what counts is the scopes
    "viewer": frozenset({Scope.READ}),
    "developer": IN_ADMIN - {Scope.KEYS, Scope.ADMIN},
    "administrator": frozenset({Scope.ADMIN}),
    "operator": frozenset({Scope.ADMIN, Scope.OPERATE}),
}


def allowed(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """With what they include."""
    found = frozenset(scopes)
    return found | IN_ADMIN if Scope.ADMIN in found else found


def role_of(scopes: Iterable[Scope]) -> str | None:
    """The role that allows just the same; None for a set of its own.

    >>> role_of({Scope.ADMIN, Scope.READ}), role_of({Scope.KEYS})
    ('administrator', None)
    """
    found = allowed(scopes)
    return next((name for name, one in ROLES.items() if allowed(one) == found), None)


def scopes_in_role(name: str) -> frozenset[Scope]:
    """Raises InvalidRequest for a role that there is not."""
    if name not in ROLES:
        remedy = did_you_mean(name, ROLES)
        raise InvalidRequest("role", "the name of a role", repr(name[:40]), remedy)
    return ROLES[name]


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """By their names. Raises InvalidRequest for one that there is not."""
    known = {str(scope): scope for scope in Scope}
    wanted = tuple(names)
    for name in wanted:
        if name not in known:
            remedy = did_you_mean(name, known)
            raise InvalidRequest("scopes", "names of scopes", repr(name[:40]), remedy)
    return frozenset(known[name] for name in wanted)


@dataclass(frozen=True)
class Quota:
    """Of a tenant. None: no limit. Per minute where the name says it."""

    jobs_running: int | None = None
    jobs_waiting: int | None = 1000
    memory_bytes: int | None = None  # of all its running jobs together, as planned
    job_time_s: int | None = None  # of each job, as planned
    storage_bytes: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True)
class Tenant:
    """People who share files, jobs, models and limits. `name` is unique."""

    id: str
    name: str
    created_at: float
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True)
class User:
    """A person of a tenant. `subject`: of the sign-on (issuer and subject), None where there is none. `disabled_at`: since when
    neither a sign-on nor a key lets them in, None where they do. `used_at`: when they were last here, to the minute.
    """

    id: str
    tenant_id: str
    name: str
    created_at: float
    scopes: frozenset[Scope] = IN_ADMIN
    subject: str | None = None
    disabled_at: float | None = None
    used_at: float | None = None


@dataclass(frozen=True)
class Principal:
    """Who asks. `key_id`: of the key, or of the console's session; `user_id`: None for a key of no person."""

    tenant_id: str
    key_id: str
    scopes: frozenset[Scope]
    user_id: str | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether it may."""
        return scope in allowed(self.scopes)

    def require(self, scope: Scope) -> None:
        """Raises Forbidden."""
        if not self.allows(scope):
            held = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden("the key", f"the scope {scope}", held, "Ask for a key with that scope.")
