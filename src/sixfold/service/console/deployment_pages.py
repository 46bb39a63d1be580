"""Deployments: the list, a new one, and one with its traffic, to be tried."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fastapi import Request, Response

from sixfold.bundle.modality_reader import Shown, reader_of
from sixfold.core import values
from sixfold.core.errors import SixfoldError
from sixfold.recipe.audio import LONGEST_S
from sixfold.recipe.kinds import PLAIN_KINDS
from sixfold.service.console import deployment_traffic, pages
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.deployments import Canary, Deployment, DriftLimits, Scaling
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.people import Principal
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import deployments, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.overview import models_of, versions_of
from sixfold.service.use_cases.service import Service

ON_A_PAGE: Final = 25
MOST_MODELS: Final = 100  # offered in a field
MOST_FIELDS: Final = 100
MOST_LEVELS: Final = 100  # offered in a field
SPEECH_RATE: Final = 16_000  # samples a second of a recording from the microphone
SOUND_RATE: Final = 48_000
VERBS: Final[dict[str, Callable[[Service, Principal, str], Deployment]]] = {
    "roll-back": deployments.roll_back,
    "promote-canary": deployments.promote_canary,
    "end-canary": deployments.end_canary,
}

routes = router()


@routes.get("/console/deployments")
def listed(
    request: Request, after: str | None = None, model: str = "", version: str = ""
) -> Response:
    """Newest first, and a form for another one; `model`, `version`: what the form begins with."""
    service, who = service_of(request), who_of(request)
    return pages.page(
        request,
        "deployments.html.jinja",
        found=deployments.page(service, who, PageQuery(ON_A_PAGE, after)),
        models=registry.models(service, who, PageQuery(MOST_MODELS)).rows,
        drifting=deployment_traffic.drifting(request, who.tenant_id),
        given={"model": model[:63], "version": version[:63] or registry.NEWEST},
    )


@routes.post("/console/deployments")
def deploy(request: Request) -> Response:
    """A new one, or another version under the same name."""
    service, who, sent = service_of(request), who_of(request), pages.filled(request)
    name = sent.get("name") or sent.get("model", "")
    with service.database.transaction() as rows:
        asked = _asked(sent, rows.deployments.named(who.tenant_id, name))
        made = deployments.deploy(service, rows, who, name, asked)
    return pages.to(request, f"/console/deployments/{made.name}")


@routes.get("/console/deployments/{name}")
def one(request: Request, name: str) -> Response:
    """Its versions, its traffic, and a form to ask it."""
    found = deployments.get(service_of(request), who_of(request), name)
    service, who = service_of(request), who_of(request)
    versions = versions_of(service, who, found)
    names, first = models_of(service, who, versions.values()), versions[found.version_id]
    signature = first.summary.get("signature") or {}
    inputs = signature.get("inputs") or []
    return pages.page(
        request,
        "deployment.html.jinja",
        one=found,
        fields=[_field(each, signature) for each in inputs[:MOST_FIELDS]],
        unshown=max(0, len(inputs) - MOST_FIELDS),
        chats=_chats(first),
        models=[names[first.model_id]],
        given=_given(found, versions, names[first.model_id]),
        **_state(request, found, versions),
    )


@routes.get("/console/deployments/{name}/state")
def state(request: Request, name: str) -> Response:
    """The part of its page that changes."""
    found = deployments.get(service_of(request), who_of(request), name)
    versions = versions_of(service_of(request), who_of(request), found)
    return pages.page(
        request, "deployment_state.html.jinja", one=found, **_state(request, found, versions)
    )


@routes.get("/console/deployments/{name}/drift")
def drift(request: Request, name: str) -> Response:
    """How far the newest rows are from the bundle's own: a part of its page that is read behind it."""
    found = deployments.get(service_of(request), who_of(request), name)
    facts = deployment_traffic.drift(request, found)
    return pages.page(request, "deployment_drift.html.jinja", one=found, **facts)


@routes.post("/console/deployments/{name}/drift")
def set_drift(request: Request, name: str) -> Response:
    """From where on a column is alarming."""
    sent = pages.filled(request)
    limits = DriftLimits(
        _within(sent, "psi", 1000.0) or 0.0,
        _within(sent, "ks", 1.0),
        _within(sent, "unseen", 100.0, 100.0),
        int(_within(sent, "least_rows", 2000.0) or 1),
    )
    deployments.set_drift(service_of(request), who_of(request), name, limits)
    return pages.to(request, f"/console/deployments/{name}")


@routes.post("/console/deployments/{name}/delete")
def delete(request: Request, name: str) -> Response:
    """Requests in work are finished first."""
    deployments.delete(service_of(request), who_of(request), name)
    return pages.to(request, "/console/deployments")


@routes.post("/console/deployments/{name}/{verb}")
def act(request: Request, name: str, verb: str) -> Response:
    """Roll back, promote the canary or end it."""
    if verb not in VERBS:
        raise InvalidRequest("the verb", ", ".join(VERBS), repr(verb[:20]), "Choose one.")
    VERBS[verb](service_of(request), who_of(request), name)
    return pages.to(request, f"/console/deployments/{name}")


def _asked(sent: Mapping[str, str], known: Deployment | None) -> DeploymentRequest:
    """What the form says; what it has no field for stays as it is in `known`. Raises InvalidRequest."""
    model = sent.get("model", "")
    target = VersionName(model, sent.get("version") or registry.NEWEST)
    scaling = replace(
        Scaling() if known is None else known.scaling,
        least=int(_number(sent, "least", 1)),
        most=int(_number(sent, "most", 1)),
        sleep_after_s=_number(sent, "sleep_after_s", 0.0) or None,
        most_together=int(_number(sent, "most_together", 1)),
    )
    canary = None
    if sent.get("canary"):
        rules = Canary("", 0.0) if known is None or known.canary is None else known.canary
        share = _number(sent, "canary_share", 0.0) / 100
        canary = VersionName(model, sent["canary"]), replace(rules, share=share)
    shadow = VersionName(model, sent["shadow"]) if sent.get("shadow") else None
    log_share = _number(sent, "log_share", 0.0) / 100
    return DeploymentRequest(target, scaling, canary, shadow, log_share)


def _state(
    request: Request, found: Deployment, versions: Mapping[str, ModelVersion]
) -> dict[str, Any]:
    """What its page shows anew every few seconds."""
    service, who = service_of(request), who_of(request)
    names = models_of(service, who, versions.values())
    before = {} if not found.before else versions_of(service, who, found, found.before)
    back = next((one for one in before.values() if one.state == "active"), None)
    return {
        "model_names": names,
        "back": back,
        **deployment_traffic.traffic(request, found, versions, time.time()),
    }


def _given(
    found: Deployment, versions: Mapping[str, ModelVersion], model: str
) -> dict[str, object]:
    """What the form to change it begins with: what is there."""
    canary, scaling = found.canary, found.scaling
    return {
        "model": model,
        "version": versions[found.version_id].number,
        "least": scaling.least,
        "most": scaling.most,
        "sleep": scaling.sleep_after_s or "",
        "canary": "" if canary is None else versions[canary.version_id].number,
        "share": 10 if canary is None else f"{100 * canary.share:.4g}",
        "shadow": "" if found.shadow is None else versions[found.shadow].number,
        "together": scaling.most_together,
        "log_share": f"{100 * found.log_share:.4g}",
    }


def _chats(version: ModelVersion) -> bool:
    """Whether it writes text: it is asked as a conversation."""
    signature = version.summary.get("signature") or {}
    return signature.get("task") == "generation"


def _field(column: Mapping[str, Any], signature: Mapping[str, Any]) -> dict[str, Any]:
    """Of the form: what the signature says of a raw column. A modality that this server has no reader for is a line of text."""
    kind = column.get("type", "number")
    levels = list(column.get("levels") or ())[:MOST_LEVELS]
    usual = levels[0] if kind == "category" and levels else _usual(kind, column.get("median"))
    shown = None
    if kind not in PLAIN_KINDS:
        with suppress(SixfoldError):
            shown = reader_of(kind).shown
    return {
        "name": column.get("name", ""),
        "type": kind,
        "levels": levels,
        "usual": usual,
        "field": "line" if shown is None else shown.field,
        "accept": "" if shown is None else shown.accept,
        "microphone": None if shown is None else _microphone(shown, signature),
    }


def _microphone(shown: Shown, signature: Mapping[str, Any]) -> dict[str, Any] | None:
    """How a recording is made for a field that takes them: of speech so that what is said can be shown while it is
    said. The model itself resamples.
    """
    if not shown.accept.startswith("audio/"):
        return None
    live = signature.get("task") == "transcription"
    return {"rate": SPEECH_RATE if live else SOUND_RATE, "longest": LONGEST_S, "live": live}


def _usual(kind: str, median: Any) -> str:
    """As a person writes it."""
    if not isinstance(median, int | float):
        return "" if median is None else str(median)
    return values.show_day(median) if kind == "date" else f"{median:.6g}"


def _within(sent: Mapping[str, str], name: str, most: float, parts: float = 1.0) -> float | None:
    """A number from 0 to `most`, over `parts`; None where the field is empty. Raises InvalidRequest."""
    if not sent.get(name, "").strip():
        return None
    value = _number(sent, name, 0.0)
    if not 0 <= value <= most:
        raise InvalidRequest(name, f"0 to {most:g}", f"{value:g}", "Write such a number.")
    return value / parts


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
