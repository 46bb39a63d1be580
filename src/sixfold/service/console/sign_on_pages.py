"""Sign on with an account of elsewhere: to the provider, and back."""

from __future__ import annotations

import logging
import secrets
from typing import Annotated, Final

from fastapi import Query, Request, Response

from sixfold.service.console import pages
from sixfold.service.console.routing import keep, router, service_of
from sixfold.service.domain.errors import NotFound, ServiceError
from sixfold.service.domain.sign_on import SignOnAttempt
from sixfold.service.gateway import browser
from sixfold.service.use_cases import sessions, sign_on
from sixfold.service.use_cases.sign_on import SignOn, SignOnAnswer
from sixfold.telemetry import logs

BEGIN: Final = "/login/oidc"
BACK: Final = "/login/oidc/callback"
ATTEMPT: Final = "sixfold_sign_on"  # the cookie's name
ATTEMPT_S: Final = 600  # for the person to say who they are
MOST: Final = 4096  # characters of what the provider sends

routes = router()
Sent = Annotated[str, Query(max_length=MOST)]


@routes.get(BEGIN)
def begin(request: Request) -> Response:
    """To the provider's page."""
    asked, attempt = _sign_on(request), SignOnAttempt(secrets.token_urlsafe(32))
    back = _back(request, asked)
    response = pages.to(request, asked.provider.sign_on_url(attempt, back))
    response.set_cookie(
        ATTEMPT,
        attempt.secret,
        max_age=ATTEMPT_S,
        path=BEGIN,
        httponly=True,
        samesite="lax",  # the provider's page sends the browser back: a strict one would stay away
        secure=back.startswith("https:"),
    )
    return response


@routes.get(BACK)
def finish(request: Request, state: Sent = "", code: Sent = "", error: Sent = "") -> Response:
    """Back from it: a session, or why there is none."""
    asked, attempt = _sign_on(request), SignOnAttempt(request.cookies.get(ATTEMPT, ""))
    try:
        answer = SignOnAnswer(state, code, error)
        token = sign_on.finish(service_of(request), asked, attempt, answer, _back(request, asked))
    except ServiceError as refusal:
        logs.event("sign_on.refused", logging.WARNING, why=str(refusal))
        response = pages.page(request, "sign_on_refused.html.jinja", refusal.status, error=refusal)
    else:
        # A page, not a redirect: a browser that another site sent here keeps the strict cookie back until a page of ours asks.
        response = pages.page(request, "signed_on.html.jinja")
        keep(request, response, browser.SESSION, token, int(sessions.LASTS_S))
        response.delete_cookie(pages.VISIT)
    response.delete_cookie(ATTEMPT, path=BEGIN)
    return response


def _sign_on(request: Request) -> SignOn:
    found: SignOn | None = request.app.state.sign_on
    if found is None:
        remedy = "Sign in with a key."
        raise NotFound("the sign-on", "a provider that the server was started with", "none", remedy)
    return found


def _back(request: Request, asked: SignOn) -> str:
    """Our own address, as the provider knows it."""
    return asked.back or str(request.url.replace(path=BACK, query="", fragment=""))
