"""What all routes of the console have in common: who is signed in, the token of every form, the policy of every page, and
mistakes as pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from sixfold.core.errors import SixfoldError
from sixfold.service.console import pages
from sixfold.service.domain.errors import (
    InvalidRequest,
    QuotaExceeded,
    ServiceError,
    Unauthenticated,
)
from sixfold.service.domain.people import Principal
from sixfold.service.gateway import browser
from sixfold.service.use_cases import sessions
from sixfold.service.use_cases.service import Service
from sixfold.telemetry import logs

OPEN: Final = frozenset(
    {"/login", "/login/oidc", "/login/oidc/callback", "/console/language", "/docs"}
)  # without a session
FORM_BYTES: Final = 4 << 20  # of a form without a file
MOST_FIELDS: Final = 2000
UPLOAD: Final = "/console/files"
SLACK_BYTES: Final = 64 << 10  # of a form around a file


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ConsoleRoute(APIRoute):
    """A page or a form."""

    def get_route_handler(self) -> Handler:
        """The usual one, with all that pages need around it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.state.form, request.state.who, request.state.visit = FormData(), None, ""
            try:
                response = await _answered(request, inner)
            finally:
                await request.state.form.close()  # of an uploaded file, too
            for name, value in pages.HEADERS.items():
                response.headers.setdefault(name, value)
            if request.state.visit:
                keep(request, response, pages.VISIT, request.state.visit)
            return response

        return handle


def router() -> APIRouter:
    """For pages: no part of the API's document."""
    return APIRouter(route_class=ConsoleRoute, include_in_schema=False)


def service_of(request: Request) -> Service:
    """Of the running application."""
    service: Service = request.app.state.service
    return service


def who_of(request: Request) -> Principal:
    """Who is signed in."""
    who: Principal = request.state.who
    return who


def keep(
    request: Request, response: Response, name: str, value: str, age_s: int | None = None
) -> None:
    """A cookie that no script reads and no other site sends."""
    response.set_cookie(
        name,
        value,
        max_age=age_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def fault(request: Request, error: SixfoldError) -> Response:
    """A mistake as a page, or as a note in the page for what HTMX asked."""
    status = error.status if isinstance(error, ServiceError) else 400
    template = "fault_note.html.jinja" if request.headers.get("hx-request") else "fault.html.jinja"
    return pages.page(request, template, status, error=error)


async def _answered(request: Request, inner: Handler) -> Response:
    """The route's answer, or the mistake as a page."""
    try:
        await _admit(request)
        return await inner(request)
    except Unauthenticated as error:
        return _sign_in(request, error)
    except SixfoldError as error:
        return fault(request, error)
    except HTTPException as error:  # Starlette's, of a form that cannot be read
        detail = str(error.detail)
        return fault(
            request, InvalidRequest("the form", "one that can be read", detail, "Send it again.")
        )


async def _admit(request: Request) -> None:
    """Sets who asks and what was sent. Raises Unauthenticated, Forbidden, InvalidRequest."""
    token = request.cookies.get(browser.SESSION, "")
    if token:
        await to_thread.run_sync(_recognize, request, token)
    is_open = request.url.path in OPEN
    if not is_open and request.state.who is None:
        raise Unauthenticated("the session", "one that is open", "none", "Sign in.")
    if request.method in browser.READING:
        if is_open and not pages.secret_of(request):
            request.state.visit = secrets.token_urlsafe(32)
        return
    _must_be_small(request)
    request.state.form = await request.form(
        max_files=1, max_fields=MOST_FIELDS, max_part_size=FORM_BYTES
    )
    sent = request.headers.get(browser.FORM_HEADER) or request.state.form.get("form_token")
    secret = pages.secret_of(request)
    sessions.must_match(secret, sent if isinstance(sent, str) and secret else "")


def _recognize(request: Request, token: str) -> None:
    """A session that ended is no session: its pages ask to sign in again."""
    with suppress(Unauthenticated):
        who = request.state.who = sessions.of_token(service_of(request), token)
        logs.note(tenant=who.tenant_id, key_id=who.key_id)


def _must_be_small(request: Request) -> None:
    """Known before a byte is read. Raises InvalidRequest, QuotaExceeded."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise InvalidRequest("the form", "Content-Length", "none", "Send it with its length.")
    most = FORM_BYTES
    if request.url.path == UPLOAD:
        most = service_of(request).settings.most_upload_bytes + SLACK_BYTES
    if int(length) > most:
        raise QuotaExceeded("the form", f"at most {most:,} bytes", f"{int(length):,}", "Send less.")


def _sign_in(request: Request, error: Unauthenticated) -> Response:
    """The page to sign in, for who read a page; what tried a key is told there that it was none."""
    if request.url.path == "/login":
        return pages.page(request, "login.html.jinja", 401, error=error)
    response = pages.to(request, "/login")
    if request.cookies.get(browser.SESSION):
        response.delete_cookie(browser.SESSION)
    return response
