"""From a template to a page: its words, its policy, and how figures are written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from sixfold import __version__
from sixfold.service.console.static_files import address
from sixfold.service.console.words import LANGUAGES, Words, chosen
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.gateway import browser
from sixfold.service.use_cases import sessions

# Scripts, styles and pictures of this server alone: nothing inline, nothing from elsewhere, no frame around it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with none at all a browser says `Origin: null` of a form
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
LANGUAGE: Final = "sixfold_language"  # cookies
VISIT: Final = (
    "sixfold_visit"  # before there is a session: what the sign-in's form token is made from
)
MINUTE_S: Final = 60

_pages: Final = Environment(
    loader=PackageLoader("sixfold.service.console", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    """A page, or a part of one for the browser to put in."""
    words = words_of(request)
    who: Principal | None = request.state.who
    text = _pages.get_template(template).render(
        t=words,
        languages=LANGUAGES,
        form_token=sessions.form_token(secret_of(request)),
        here=request.url.path,
        who=who,
        may=lambda scope: who is not None and who.allows(Scope(scope)),
        version=__version__,
        status=status,
        signs_on=request.app.state.sign_on is not None,
        **facts,
    )
    return HTMLResponse(text, status)


def to(request: Request, path: str) -> Response:
    """Another page next: HTMX follows a header of its own, where a redirect would end inside the page."""
    if request.headers.get("hx-request"):
        return Response(headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def words_of(request: Request) -> Words:
    """In the language of who reads."""
    accepts = request.headers.get("accept-language", "")
    return Words(chosen(request.cookies.get(LANGUAGE), accepts))


def secret_of(request: Request) -> str:
    """The cookie that form tokens are made from; empty before the first page."""
    made: str = request.state.visit
    return request.cookies.get(browser.SESSION) or made or request.cookies.get(VISIT, "")


def filled(request: Request) -> Mapping[str, str]:
    """The fields of the form that was sent: texts alone, the last of each name."""
    form = request.state.form
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def size(value: float | None) -> str:
    """Bytes as people read them.

    >>> size(1536), size(None)
    ('1.5 KiB', '–')
    """
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def milliseconds(value: float | None) -> str:
    """Three digits.

    >>> milliseconds(0.01953), milliseconds(21.62), milliseconds(1234.5)
    ('0.0195 ms', '21.6 ms', '1,234 ms')
    """
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def duration(value: float | None) -> str:
    """Seconds as people read them.

    >>> duration(4.25), duration(130), duration(7300)
    ('4.2 s', '2 min 10 s', '2 h 1 min')
    """
    if value is None:
        return "–"
    if value < MINUTE_S:
        return f"{value:.1f} s"
    minutes, seconds = divmod(int(value), MINUTE_S)
    hours, minutes = divmod(minutes, MINUTE_S)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def moment(value: float | None) -> str:
    """A time, UTC."""
    return "–" if value is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))


def figure(value: object) -> str:
    """A number with five digits; anything else as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:.5g}"


def named(parts: Sequence[Mapping[str, Any]], name: str, value: str) -> list[dict[str, Any]]:
    """Parts of a whole, the largest first."""
    found = [{"name": one[name], "value": one[value]} for one in parts]
    return sorted(found, key=lambda one: -one["value"])


_pages.filters.update(
    milliseconds=milliseconds, size=size, duration=duration, moment=moment, figure=figure
)
_pages.globals.update(address=address, named=named)
