"""Sign in, sign out, the language."""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request, Response

from sixfold.service.console import pages
from sixfold.service.console.routing import keep, router, service_of
from sixfold.service.console.words import LANGUAGES
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.gateway import browser
from sixfold.service.use_cases import sessions
from sixfold.service.use_cases.sign_on import SignOn

YEAR_S: Final = 365 * 86400
BACK: Final = re.compile(r"/(login|console(/[a-z0-9/-]*)?)?")  # pages of the console alone

routes = router()


@routes.get("/login")
def ask(request: Request) -> Response:
    """The page to sign in."""
    return pages.page(request, "login.html.jinja", error=None)


@routes.post("/login")
def sign_in(request: Request) -> Response:
    """A session for a key."""
    token = sessions.sign_in(service_of(request), pages.filled(request).get("key", "").strip())
    response = pages.to(request, "/console")
    keep(request, response, browser.SESSION, token, int(sessions.LASTS_S))
    response.delete_cookie(pages.VISIT)
    return response


@routes.post("/logout")
def sign_out(request: Request) -> Response:
    """The session ends here and on the server."""
    signed_on = sessions.sign_out(service_of(request), request.cookies[browser.SESSION])
    sign_on: SignOn | None = request.app.state.sign_on
    provider = sign_on.provider.sign_out_url() if signed_on and sign_on is not None else None
    response = pages.to(request, "/login")
    if provider is not None:  # its own session opens ours again at one click
        request.state.who = None
        response = pages.page(request, "signed_out.html.jinja", provider=provider)
    response.delete_cookie(browser.SESSION)
    return response


@routes.post("/console/language")
def switch(request: Request) -> Response:
    """The pages in another language, from now on."""
    sent = pages.filled(request)
    language, back = sent.get("language", ""), sent.get("back", "")
    if language not in LANGUAGES:
        raise InvalidRequest("language", ", ".join(LANGUAGES), repr(language[:20]), "Choose one.")
    response = pages.to(request, back if BACK.fullmatch(back) else "/console")
    keep(request, response, pages.LANGUAGE, language, YEAR_S)
    return response
