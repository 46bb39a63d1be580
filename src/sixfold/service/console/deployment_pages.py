"""Deployments: the list, a new one, and one with its traffic, to be tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from fastapi import Request, Response

from sixfold.bundle.modality_reader import reader_of
from sixfold.core.errors import SixfoldError
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.service.console import pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.deployments import Canary, Deployment, Scaling
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.gateway.gateway import Gateway
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import deployments, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.overview import versions_of

ON_A_PAGE: Final = 25
MOST_MODELS: Final = 100  # offered in a field
MOST_FIELDS: Final = 100
MOST_LEVELS: Final = 100  # offered in a field

routes = router()


@routes.get("/console/deployments")
def listed(request: Request, after: str | None = None) -> Response:
    """Newest first, and a form for another one."""
    service, who = service_of(request), who_of(request)
    return pages.page(
        request,
        "deployments.html.jinja",
        found=deployments.page(service, who, PageQuery(ON_A_PAGE, after)),
        models=registry.models(service, who, PageQuery(MOST_MODELS)).rows,
    )


@routes.post("/console/deployments")
def deploy(request: Request) -> Response:
    """A new one, or another version under the same name."""
    service, who, sent = service_of(request), who_of(request), pages.filled(request)
    model, name = sent.get("model", ""), sent.get("name", "")
    target = VersionName(model, sent.get("version") or registry.NEWEST)
    sleep = _number(sent, "sleep_after_s", 0.0)
    least, most = int(_number(sent, "least", 1)), int(_number(sent, "most", 1))
    share = _number(sent, "canary_share", 0.0) / 100
    canary = None
    if sent.get("canary"):
        canary = VersionName(model, sent["canary"]), Canary("", share)
    shadow = VersionName(model, sent["shadow"]) if sent.get("shadow") else None
    asked = DeploymentRequest(target, Scaling(least, most, sleep or None), canary, shadow)
    with service.database.transaction() as rows:
        made = deployments.deploy(service, rows, who, name or model, asked)
    return pages.to(request, f"/console/deployments/{made.name}")


@routes.get("/console/deployments/{name}")
def one(request: Request, name: str) -> Response:
    """Its versions, its traffic, and a form to ask it."""
    found = deployments.get(service_of(request), who_of(request), name)
    versions = versions_of(service_of(request), who_of(request), found)
    first = versions[found.version_id]
    signature = first.summary.get("signature") or {}
    inputs = signature.get("inputs") or []
    return pages.page(
        request,
        "deployment.html.jinja",
        one=found,
        fields=[_field(each) for each in inputs[:MOST_FIELDS]],
        unshown=max(0, len(inputs) - MOST_FIELDS),
        chats=_chats(first),
        **_traffic(request, found, versions),
    )


@routes.get("/console/deployments/{name}/state")
def state(request: Request, name: str) -> Response:
    """The part of its page that changes."""
    found = deployments.get(service_of(request), who_of(request), name)
    versions = versions_of(service_of(request), who_of(request), found)
    return pages.page(
        request, "deployment_state.html.jinja", one=found, **_traffic(request, found, versions)
    )


@routes.post("/console/deployments/{name}/delete")
def delete(request: Request, name: str) -> Response:
    """Requests in work are finished first."""
    deployments.delete(service_of(request), who_of(request), name)
    return pages.to(request, "/console/deployments")


def _traffic(
    request: Request, found: Deployment, versions: Mapping[str, ModelVersion]
) -> dict[str, Any]:
    """A row a version: what it is there for, its replicas, its requests."""
    gateway: Gateway = request.app.state.gateway
    route = gateway.routes.get((found.tenant_id, found.name))
    rows = []
    roles = {found.version_id: "first"}
    if found.shadow is not None:
        roles[found.shadow] = "shadow"
    if found.canary is not None:
        roles[found.canary.version_id] = "canary"
    for version_id, role in roles.items():
        pool = None if route is None else route.pools.get(version_id)
        seen = None if route is None else route.traffic.get(version_id)
        rows.append(
            {
                "role": role,
                "version": versions.get(version_id),
                "replicas": 0 if pool is None else len(pool.replicas),
                "seen": seen,
            }
        )
    return {"rows": rows}


def _chats(version: ModelVersion) -> bool:
    """Whether it writes text: it is asked as a conversation."""
    signature = version.summary.get("signature") or {}
    return signature.get("task") == "generation"


def _field(column: Mapping[str, Any]) -> dict[str, Any]:
    """Of the form: what the signature says of a raw column. A modality that this server has no reader for is a line of text."""
    kind = column.get("type", "number")
    levels = list(column.get("levels") or ())[:MOST_LEVELS]
    usual = levels[0] if kind == "category" and levels else column.get("median")
    shown = None
    if kind not in PLAIN_KINDS:
        with suppress(SixfoldError):
            shown = reader_of(kind).shown
    return {
        "name": column.get("name", ""),
        "type": kind,
        "levels": levels,
        "usual": "" if usual is None else usual,
        "field": "line" if shown is None else shown.field,
        "accept": "" if shown is None else shown.accept,
    }


def _number(sent: Mapping[str, str], name: str, usual: float) -> float:
    """Raises InvalidRequest."""
    text = sent.get(name, "").strip()
    try:
        value = float(text) if text else usual
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRequest(name, "a number", repr(text[:40]), "Write a number.")
    return value
