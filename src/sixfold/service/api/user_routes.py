"""`/api/v1/users`: people who sign on with an account of elsewhere."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from sixfold.service.api.access import In, Once, PagedBy, Who, done_once
from sixfold.service.api.shapes import NAME, SCOPE, Body, Listed, example
from sixfold.service.domain.people import Scope, User, role_of, scopes_of
from sixfold.service.domain.sign_on import ISSUER, PERSON, SUBJECT, AccountIdentity
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import users
from sixfold.service.use_cases.users import UserRequest

router = APIRouter(prefix="/api/v1/users", tags=["people"])
Scopes = Annotated[list[Annotated[str, SCOPE]], Field(min_length=1, max_length=len(Scope))]


class NewUser(Body):
    """Somebody who may sign on. `issuer`: the provider's address; `subject`: the account's `sub` there."""

    model_config = example(
        name="Alice",
        issuer="https://idp.example/realms/staff",
        subject="7f0c9a31",
        scopes=["read", "jobs", "predict"],
    )
    name: str = Field(pattern=PERSON)
    issuer: str = Field(pattern=ISSUER)
    subject: str = Field(pattern=SUBJECT)
    scopes: Scopes
    tenant: str | None = Field(None, pattern=NAME, description="Left out: your own.")


class UserScopes(Body):
    """What a person may do."""

    model_config = example(scopes=["read", "predict"])
    scopes: Scopes


class UserAnswer(BaseModel):
    """A person. `account`: issuer and subject. `role`: viewer, developer, administrator, operator, or null for scopes that are
    none of these. `used_at`: when they were last here, to the minute.
    """

    id: str
    name: str
    account: str | None
    role: str | None
    scopes: list[str]
    created_at: float
    disabled_at: float | None
    used_at: float | None

    @classmethod
    def of(cls, row: User) -> Self:
        """What an administrator sees."""
        return cls(
            id=row.id,
            name=row.name,
            account=row.subject,
            role=role_of(row.scopes),
            scopes=sorted(row.scopes),
            created_at=row.created_at,
            disabled_at=row.disabled_at,
            used_at=row.used_at,
        )


@router.get("")
def listed(service: In, who: Who, asked: PagedBy) -> Listed[UserAnswer]:
    """Newest first."""
    return Listed[UserAnswer].of(users.page(service, who, asked), UserAnswer.of)


@router.post("", status_code=201, response_model=UserAnswer)
def create(body: NewUser, service: In, who: Who, asked: Once) -> JSONResponse:
    """For operators: made known before the first sign-on."""
    identity = AccountIdentity(body.issuer, body.subject, body.name)
    new = UserRequest(identity, scopes_of(body.scopes), body.tenant)

    def work(rows: Transaction) -> UserAnswer:
        return UserAnswer.of(users.make_known(service, rows, who, new))

    return done_once(service, who, asked, work, 201)


@router.put("/{user_id}/scopes")
def set_scopes(user_id: str, body: UserScopes, service: In, who: Who) -> UserAnswer:
    """At once, in open sessions and with their keys, too."""
    return UserAnswer.of(users.set_scopes(service, who, user_id, scopes_of(body.scopes)))


@router.post("/{user_id}/disable")
def disable(user_id: str, service: In, who: Who) -> UserAnswer:
    """At once: no sign-on, session or key of theirs lets them in, until they are enabled."""
    return UserAnswer.of(users.disable(service, who, user_id))


@router.post("/{user_id}/enable")
def enable(user_id: str, service: In, who: Who) -> UserAnswer:
    """With the sessions and keys that have not ended meanwhile."""
    return UserAnswer.of(users.enable(service, who, user_id))


@router.delete("/{user_id}")
def remove(user_id: str, service: In, who: Who) -> UserAnswer:
    """With all sessions and keys of that person."""
    return UserAnswer.of(users.remove(service, who, user_id))
