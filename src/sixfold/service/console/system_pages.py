"""The overview, and what operators see of the machine."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from sixfold.core.errors import SixfoldError
from sixfold.service.console import pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import NotFound
from sixfold.service.use_cases import overview

routes = router()


@routes.get("/")
def root(request: Request) -> Response:
    """The first page."""
    return pages.to(request, "/console")


@routes.get("/console")
def first(request: Request) -> Response:
    """The newest of everything."""
    found = overview.overview(service_of(request), who_of(request))
    return pages.page(request, "overview.html.jinja", found=found)


@routes.get("/console/system")
def system(request: Request) -> Response:
    """Workers, the queue, the last changes."""
    service, who = service_of(request), who_of(request)
    found, use = overview.system(service, who), overview.use(service, who)
    trouble = ""
    try:
        service.database.check()
    except SixfoldError as error:
        trouble = str(error)
    return pages.page(
        request,
        "system.html.jinja",
        found=found,
        counts=use.counts,
        trouble=trouble,
        now=service.now(),
    )


@routes.get("/docs")
def docs(request: Request) -> Response:
    """The API's document for people; open to all, as the document is."""
    document = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in operations:
        groups.setdefault((each.get("tags") or [""])[0], []).append(each)
    return pages.page(
        request, "docs.html.jinja", groups=groups, base=str(request.base_url).rstrip("/")
    )


@routes.get("/console/{path:path}")
def nothing(path: str) -> Response:
    """Any other address."""
    raise NotFound("the page", "one of the console", repr(path[:80]), "Choose one above.")
