"""Tenants, users, and who asks: a principal with its scopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

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
    """A person of a tenant. `subject`: of the sign-on (issuer and subject), None where there is none."""

    id: str
    tenant_id: str
    name: str
    created_at: float
    scopes: frozenset[Scope] = IN_ADMIN
    subject: str | None = None


@dataclass(frozen=True)
class Principal:
    """Who asks. `key_id`: of the key, or of the console's session; `user_id`: None for a key of no person."""

    tenant_id: str
    key_id: str
    scopes: frozenset[Scope]
    user_id: str | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether it may."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope in IN_ADMIN)

    def require(self, scope: Scope) -> None:
        """Raises Forbidden."""
        if not self.allows(scope):
            held = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden("the key", f"the scope {scope}", held, "Ask for a key with that scope.")
