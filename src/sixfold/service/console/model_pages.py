"""Models: the list, one with its versions side by side, and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response

from sixfold.bundle import page as report_page
from sixfold.service.console import pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import InvalidRequest, NotFound
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import registry

ON_A_PAGE: Final = 25
SIDE_BY_SIDE: Final = 6
REPORT: Final = "report.html"
MEASURED: Final[Mapping[str, str]] = {
    "file_bytes": "size",
    "p50_1_ms": "ms",
    "p99_1_ms": "ms",
    "p50_64_ms": "ms",
    "tokens_per_s_1": "figure",
    "peak_memory_bytes": "size",
    "parameters": "figure",
}  # of a receipt's `after`, and how each is written

routes = router()


@routes.get("/console/models")
def listed(request: Request, after: str | None = None) -> Response:
    """Newest first."""
    found = registry.models(service_of(request), who_of(request), PageQuery(ON_A_PAGE, after))
    return pages.page(request, "models.html.jinja", found=found)


@routes.get("/console/models/{name}")
def one(request: Request, name: str) -> Response:
    """Its aliases, and the newest versions side by side."""
    model, versions, aliases = registry.model(service_of(request), who_of(request), name)
    shown = versions[:SIDE_BY_SIDE]
    names = {
        version.id: [alias.name for alias in aliases if alias.version_id == version.id]
        for version in versions
    }
    return pages.page(
        request,
        "model.html.jinja",
        model=model,
        versions=versions,
        shown=shown,
        aliases=aliases,
        names=names,
        figures=_figures(shown),
    )


@routes.get("/console/models/{name}/{number}/report")
def report(request: Request, name: str, number: str) -> Response:
    """As the bundle has it, for a frame without scripts. Raises NotFound, BundleError."""
    service = service_of(request)
    version = registry.version(service, who_of(request), name, number)
    digest = service.artifacts.tree(version.tree).files.get(REPORT)
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
    """Promote, roll back, or retire."""
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
    return pages.to(request, f"/console/models/{name}")


def _figures(versions: tuple[ModelVersion, ...]) -> list[tuple[str, str, list[Any]]]:
    """Rows of a table: what, how it is written, and a value for each version; without those that no version has."""
    rows: list[tuple[str, str, list[Any]]] = []
    qualities = [_qualities(each.receipt) for each in versions]
    for name in dict.fromkeys(name for each in qualities for name in each):
        rows.append((name, "figure", [each.get(name) for each in qualities]))
    for name, written in MEASURED.items():
        found = [(each.receipt.get("after") or {}).get(name) for each in versions]
        if any(value is not None for value in found):
            rows.append((name, written, found))
    return rows


def _qualities(receipt: Mapping[str, Any]) -> dict[str, float]:
    """Means over the validation folds of what is served, and what the holdout says, by metric."""
    found = {}
    for each in receipt.get("quality") or ():
        folds = each.get("folds_after") or each.get("folds_before") or ()
        if folds:
            found[each["metric"]] = sum(folds) / len(folds)
        holdout = each.get("holdout_after")
        if holdout is None:
            holdout = each.get("holdout_before")
        if holdout is not None:
            found[f"{each['metric']}, holdout"] = holdout
    return found
