"""Who asks, on every route: one dependency, and the lists of what is open to all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from sixfold.core import strict_json
from sixfold.service.domain.errors import InvalidRequest, Unauthenticated
from sixfold.service.domain.people import Principal
from sixfold.service.gateway import browser
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import people
from sixfold.service.use_cases.idempotency import Answer, OnceOnly, once
from sixfold.service.use_cases.service import Service
from sixfold.telemetry import logs

OPEN: Final = frozenset(
    {"/livez", "/readyz", "/openapi.json", "/docs"}
)  # without a key; a test walks all others
MOST_KEY: Final = 255  # characters of an Idempotency-Key


@dataclass(frozen=True)
class MadeWithKey:
    """What was made, and the API key that belongs to it, which `answer` does not have."""

    answer: BaseModel
    key: str


def service_of(request: Request) -> Service:
    """Of the running application."""
    service: Service = request.app.state.service
    return service


def principal_of(request: Request) -> Principal:
    """By the Authorization header, or by the console's session. Raises Unauthenticated, Forbidden."""
    who = _principal(request)
    logs.note(tenant=who.tenant_id, key_id=who.key_id)
    return who


def _principal(request: Request) -> Principal:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        sent = request.headers.get(browser.FORM_HEADER, "")
        reading = request.method in browser.READING
        who = browser.principal(service_of(request), request.cookies, sent, reading)
        if who is not None:
            return who
        raise Unauthenticated(
            "the Authorization header",
            "Bearer and a key",
            "none",
            "Send: Authorization: Bearer sf_…",
        )
    return people.authenticate(service_of(request), key.strip())


async def once_of(
    request: Request, idempotency_key: Annotated[str | None, Header(max_length=MOST_KEY)] = None
) -> OnceOnly | None:
    """What the Idempotency-Key stands for: this method, path and body. Raises InvalidRequest for an empty one."""
    if idempotency_key is None:
        return None
    if not idempotency_key.strip():
        raise InvalidRequest("Idempotency-Key", "1 to 255 characters", "none", "Send a new UUID.")
    body = await request.body()
    asked = f"{request.method} {request.url.path}\n".encode() + body
    return OnceOnly(idempotency_key, hashlib.sha256(asked).hexdigest())


def done_once(
    service: Service,
    who: Principal,
    asked: OnceOnly | None,
    work: Callable[[Transaction], BaseModel],
    status: int,
) -> JSONResponse:
    """The answer of `work`, or the one that was given before under the same Idempotency-Key. Raises Unprocessable, Conflict."""

    def answered(rows: Transaction) -> Answer:
        return status, work(rows).model_dump(mode="json")

    found, answer = once(service, who, asked, answered)
    return JSONResponse(dict(answer), found)


def shown_once(
    service: Service,
    who: Principal,
    asked: OnceOnly | None,
    work: Callable[[Transaction], MadeWithKey],
) -> JSONResponse:
    """The same of an answer with a key in it, which is stored nowhere: sent again, the request makes no second one, and the
    answer has `key: null`.
    """
    made = list[str]()

    def answered(rows: Transaction) -> Answer:
        found = work(rows)
        made.append(found.key)
        return 201, found.answer.model_dump(mode="json")

    status, answer = once(service, who, asked, answered)
    return JSONResponse({**answer, "key": made[0]} if made else dict(answer), status)


def plain(value: object) -> Any:
    """As JSON has it."""
    return json.loads(strict_json.text(value))


def page_of(
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> PageQuery:
    """Which page of a list is asked for: that behind the id `after`, newest first."""
    return PageQuery(limit, after)


In = Annotated[Service, Depends(service_of)]
Who = Annotated[Principal, Depends(principal_of)]
Once = Annotated[OnceOnly | None, Depends(once_of)]
PagedBy = Annotated[PageQuery, Depends(page_of)]
KeyOfOnce = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=MOST_KEY)
]
