"""Models: the list, one with its versions, versions side by side, and one version with its receipt, lineage and report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastapi import Request, Response

from sixfold.bundle import page as report_page
from sixfold.service.console import pages, receipts_beside
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import InvalidRequest, NotFound
from sixfold.service.domain.registry import Alias, ModelVersion
from sixfold.service.ports.pages import PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import registry

ON_A_PAGE: Final = 25
SIDE_BY_SIDE: Final = 6  # versions that fit beside one another
REPORT: Final = "report.html"

routes = router()


@routes.get("/console/models")
def listed(request: Request, after: str | None = None) -> Response:
    """Newest first."""
    found = registry.models(service_of(request), who_of(request), PageQuery(ON_A_PAGE, after))
    return pages.page(request, "models.html.jinja", found=found)


@routes.get("/console/models/{name}")
def one(request: Request, name: str, before: int | None = None) -> Response:
    """Its aliases and its versions, newest first, those below the number `before`."""
    service, who = service_of(request), who_of(request)
    found = registry.model(service, who, name, VersionQuery(ON_A_PAGE, before))
    return pages.page(
        request,
        "model.html.jinja",
        model=found.model,
        shown=found.versions.rows,
        more=found.versions.more,
        aliases=found.aliases,
        numbers=registry.pointed(service, who, found.aliases),
        names=_names(found.versions.rows, found.aliases),
        headline=receipts_beside.headline,
    )


@routes.get("/console/models/{name}/compare")
def compare(request: Request, name: str) -> Response:
    """Receipts and lineage of the versions that are named, the first one beside all others."""
    service, who = service_of(request), who_of(request)
    asked = list(dict.fromkeys(request.query_params.getlist("version")))
    if not 2 <= len(asked) <= SIDE_BY_SIDE:
        expected = f"2 to {SIDE_BY_SIDE} versions"
        raise InvalidRequest("version", expected, str(len(asked)), "Choose them.")
    found = registry.model(service, who, name, VersionQuery())
    shown = [registry.version(service, who, name, which) for which in asked]
    return pages.page(
        request,
        "model_compare.html.jinja",
        model=found.model,
        shown=shown,
        names=_names(shown, found.aliases),
        rows=receipts_beside.rows(shown),
        files=receipts_beside.files(shown),
        changes=[receipts_beside.recipe_changes(shown[0], each) for each in shown[1:]],
    )


@routes.get("/console/models/{name}/{number}")
def version(request: Request, name: str, number: str) -> Response:
    """One version: its receipt, where it came from, its report."""
    service, who = service_of(request), who_of(request)
    found = registry.version(service, who, name, number)
    before = registry.model(service, who, name, VersionQuery(before=found.number))
    tree = service.artifacts.tree(found.tree) if service.artifacts.has(found.tree) else None
    return pages.page(
        request,
        "version.html.jinja",
        model=before.model,
        found=found,
        earlier=next(iter(before.versions.rows), None),
        names=_names([found], before.aliases)[found.id],
        rows=receipts_beside.rows([found]),
        bundle=() if tree is None else sorted(tree.files.items()),
        has_report=tree is not None and REPORT in tree.files,
    )


@routes.get("/console/models/{name}/{number}/report")
def report(request: Request, name: str, number: str) -> Response:
    """As the bundle has it, for a frame without scripts. Raises NotFound, BundleError."""
    service = service_of(request)
    found = registry.version(service, who_of(request), name, number)
    digest = service.artifacts.tree(found.tree).files.get(REPORT)
    if digest is None:
        raise NotFound("the report", "a bundle with one", "none", "Download the bundle.")
    with service.artifacts.open(digest) as source:
        content = source.read()
    report_page.check(content, Path(REPORT))
    policy = f"{report_page.POLICY}; sandbox; frame-ancestors 'self'"
    return Response(
        content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy}
    )


@routes.post("/console/models/{name}/{verb}")
def act(request: Request, name: str, verb: str) -> Response:
    """Promote, roll back, or retire; then the page that it was asked from."""
    sent = pages.filled(request)
    service, who = service_of(request), who_of(request)
    verbs: dict[str, Callable[[], object]] = {
        "promote": lambda: registry.promote(
            service, who, name, sent.get("alias", ""), sent.get("version", "")
        ),
        "roll-back": lambda: registry.roll_back(service, who, name, sent.get("alias", "")),
        "retire": lambda: registry.retire(service, who, name, sent.get("version", "")),
    }
    if verb not in verbs:
        raise InvalidRequest("the verb", ", ".join(verbs), repr(verb[:20]), "Choose one.")
    verbs[verb]()
    back = f"/{sent['version']}" if sent.get("back") == "version" and "version" in sent else ""
    return pages.to(request, f"/console/models/{name}{back}")


def _names(versions: Sequence[ModelVersion], aliases: Sequence[Alias]) -> dict[str, list[str]]:
    """Aliases by the version that they point at."""
    return {
        each.id: [alias.name for alias in aliases if alias.version_id == each.id]
        for each in versions
    }
