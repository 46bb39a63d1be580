"""People: who signs on to the tenant, and what each of them may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Request, Response

from sixfold.service.console import pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.people import ROLES, allowed, role_of, scopes_in_role
from sixfold.service.domain.sign_on import AccountIdentity
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import users
from sixfold.service.use_cases.users import UserRequest

ON_A_PAGE: Final = 25
PEOPLE: Final = "/console/people"

routes = router()


@routes.get(PEOPLE)
def listed(request: Request, after: str | None = None) -> Response:
    """For administrators: the people of the tenant, and what each role may do."""
    service, who = service_of(request), who_of(request)
    return pages.page(
        request,
        "people.html.jinja",
        found=users.page(service, who, PageQuery(ON_A_PAGE, after)),
        roles=ROLES,
        given=[name for name, scopes in ROLES.items() if all(map(who.allows, scopes))],
        role_of=role_of,
        changeable=lambda one: one.id != who.user_id and all(map(who.allows, allowed(one.scopes))),
    )


@routes.post(PEOPLE)
def add(request: Request) -> Response:
    """For operators: somebody who may sign on from now on."""
    sent = {name: value.strip() for name, value in pages.filled(request).items()}
    identity = AccountIdentity(
        sent.get("issuer", ""), sent.get("subject", ""), sent.get("name", "")
    )
    scopes = scopes_in_role(sent.get("role", ""))
    asked = UserRequest(identity, scopes, sent.get("tenant") or None)
    users.add(service_of(request), who_of(request), asked)
    return pages.to(request, PEOPLE)


@routes.post(PEOPLE + "/{user_id}/{verb}")
def act(request: Request, user_id: str, verb: str) -> Response:
    """Another role, disable, enable, or remove."""
    service, who = service_of(request), who_of(request)
    role = pages.filled(request).get("role", "")
    verbs: dict[str, Callable[[], object]] = {
        "role": lambda: users.set_scopes(service, who, user_id, scopes_in_role(role)),
        "disable": lambda: users.disable(service, who, user_id),
        "enable": lambda: users.enable(service, who, user_id),
        "remove": lambda: users.remove(service, who, user_id),
    }
    if verb not in verbs:
        raise InvalidRequest("the verb", ", ".join(verbs), repr(verb[:20]), "Choose one.")
    verbs[verb]()
    return pages.to(request, PEOPLE)
