"""Keys and quotas."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from typing import Final

from fastapi import Request, Response

from sixfold.service.console import pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.people import Quota, Scope, scopes_of
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import audit, overview, people, usage
from sixfold.service.use_cases.people import KeyRequest

ON_A_PAGE: Final = 25
MOST_TENANTS: Final = 100
DAY_S: Final = 86400.0
USE_DAYS: Final = 30  # that the use of keys is shown of
LIMITS: Final = tuple(field.name for field in dataclass_fields(Quota))

routes = router()


@routes.get("/console/keys")
def listed(request: Request, after: str | None = None) -> Response:
    """Keys and sessions of the tenant, and its limits."""
    return _page(request, after=after)


@routes.post("/console/keys")
def create(request: Request) -> Response:
    """The key is in this page and in no other."""
    sent = pages.filled(request)
    chosen = request.state.form.getlist("scopes")
    days = sent.get("days", "").strip()
    if days and not (days.isdecimal() and 0 < int(days) <= 3660):
        raise InvalidRequest("days", "1 to 3660, or none", repr(days[:20]), "Write a number.")
    asked = KeyRequest(
        sent.get("name", "").strip(),
        scopes_of(str(name) for name in chosen),
        float(days) * DAY_S if days else None,
        who_of(request).user_id,
    )
    _, key = people.create_key(service_of(request), who_of(request), asked)
    return _page(request, key=key)


@routes.post("/console/keys/{key_id}/rotate")
def rotate(request: Request, key_id: str) -> Response:
    """A new key; the old one stays good for a day."""
    _, key = people.rotate_key(service_of(request), who_of(request), key_id)
    return _page(request, key=key)


@routes.post("/console/keys/{key_id}/revoke")
def revoke(request: Request, key_id: str) -> Response:
    """At once."""
    people.revoke_key(service_of(request), who_of(request), key_id)
    return pages.to(request, "/console/keys")


@routes.post("/console/tenants")
def create_tenant(request: Request) -> Response:
    """For operators: the first key of the tenant is in this page and in no other."""
    name = pages.filled(request).get("name", "")
    _, key = people.create_tenant(service_of(request), who_of(request), name, _quota(request))
    return _page(request, key=key)


@routes.post("/console/tenants/{tenant_id}/quota")
def set_quota(request: Request, tenant_id: str) -> Response:
    """For operators."""
    people.set_quota(service_of(request), who_of(request), tenant_id, _quota(request))
    return pages.to(request, "/console/keys")


@routes.get("/console/audit")
def changes(request: Request, after: str | None = None) -> Response:
    """Who changed what in the tenant."""
    query = PageQuery(ON_A_PAGE, after)
    found = audit.page(service_of(request), who_of(request), query)
    return pages.page(request, "audit.html.jinja", found=found)


def _page(request: Request, after: str | None = None, key: str | None = None) -> Response:
    service, who = service_of(request), who_of(request)
    operates = who.allows(Scope.OPERATE)
    return pages.page(
        request,
        "keys.html.jinja",
        found=people.keys(service, who, PageQuery(ON_A_PAGE, after)),
        key=key,
        scopes=[scope for scope in Scope if who.allows(scope)],
        use=overview.use(service, who),
        used=usage.by_key(service, who, USE_DAYS * 24),
        days=USE_DAYS,
        currency="" if service.settings.prices is None else service.settings.prices.currency,
        limits=LIMITS,
        tenants=people.tenants(service, who, PageQuery(MOST_TENANTS)).rows if operates else (),
        now=service.now(),
    )


def _quota(request: Request) -> Quota:
    """Raises InvalidRequest."""
    sent, found = pages.filled(request), dict[str, int | None]()
    for name in LIMITS:
        text = sent.get(name, "").strip()
        if text and not (text.isdecimal() and len(text) < 19):
            raise InvalidRequest(name, "a whole number, or nothing", repr(text[:40]), "Write one.")
        found[name] = int(text) if text else None
    return Quota(**found)
