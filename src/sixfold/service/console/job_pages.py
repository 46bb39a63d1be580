"""Jobs: the list, a new one, and one that is watched."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

from fastapi import Request, Response
from starlette.datastructures import UploadFile

from sixfold.service.console import file_preview, pages, recipe_form
from sixfold.service.console.recipe_planner import RecipePlanner
from sixfold.service.console.routing import router, service_of, who_of
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.jobs import JobState, TrainingJob
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import files, jobs, overview
from sixfold.service.use_cases.idempotency import Answer, OnceOnly, once
from sixfold.service.use_cases.overview import newest_events, newest_of_kinds
from sixfold.service.use_cases.service import Service

ON_A_PAGE: Final = 25
LOG_LINES: Final = 100
STAGE_EVENTS: Final = 20_000  # the newest ones, in which stages are looked for
CURVE_EVENTS: Final = 3000  # the newest ones, from which curves are drawn
START: Final = "version: 1\nname: my-model\ndata:\n  source: sklearn:iris\n  target: target\n"  # of the tutorial
DONE: Final = {"stage_finished": "done", "stage_skipped": "kept", "stage_started": "running"}
VERBS: Final[dict[str, Callable[[Service, Principal, str], TrainingJob]]] = {
    "cancel": jobs.cancel,
    "pause": jobs.pause,
    "resume": jobs.resume,
    "retry": jobs.retry,
}

routes = router()


@routes.get("/console/jobs")
def listed(request: Request, after: str | None = None, state: str = "") -> Response:
    """Newest first, a page at a time."""
    known = [str(one) for one in JobState]
    where = {"state": state} if state in known else {}
    found = jobs.page(
        service_of(request), who_of(request), PageQuery(ON_A_PAGE, after, where=where)
    )
    return pages.page(
        request, "jobs.html.jinja", found=found, states=known, state=where.get("state", "")
    )


@routes.get("/console/jobs/new")
def new(request: Request, like: str | None = None) -> Response:
    """The recipe as text, and as a form beside it; `like`: the job that it starts from."""
    who_of(request).require(Scope.JOBS)
    text = (
        START if like is None else jobs.get(service_of(request), who_of(request), like).spec.recipe
    )
    return pages.page(request, "job_new.html.jinja", nonce=secrets.token_hex(16), **_recipe(text))


@routes.post("/console/recipe")
def check(request: Request) -> Response:
    """What is wrong with the text, and the form as the text has it."""
    text = _lines(pages.filled(request).get("recipe", ""))
    return pages.page(request, "recipe_check.html.jinja", rewritten=False, **_recipe(text))


@routes.post("/console/recipe/field")
def field(request: Request, path: str) -> Response:
    """The text with a key changed as the form has it."""
    sent = pages.filled(request)
    value = sent.get(f"field:{path}", sent.get("value", ""))
    text = recipe_form.changed(_lines(sent.get("recipe", "")), path, value)
    return pages.page(request, "recipe_check.html.jinja", rewritten=True, **_recipe(text))


@routes.post("/console/files")
def upload(request: Request) -> Response:
    """A file beside the recipe, and what it looks like."""
    file = next(
        (one for _, one in request.state.form.multi_items() if isinstance(one, UploadFile)), None
    )
    if file is None:
        raise InvalidRequest("file", "a file", "none", "Choose one, or drop it into the field.")
    service, who = service_of(request), who_of(request)
    name = (file.filename or "").rpartition("/")[2].rpartition("\\")[2]
    stored = files.upload(service, who, name, _binary(file), "data")
    _, source = files.content(service, who, stored.id)
    with source:
        preview = file_preview.look(source)
    return pages.page(request, "file_preview.html.jinja", file=stored, preview=preview)


@routes.post("/console/plan")
def plan(request: Request) -> Response:
    """What the job would take, before it is submitted; it may take a minute."""
    service, who, sent = service_of(request), who_of(request), pages.filled(request)
    planner: RecipePlanner = request.app.state.planner
    text, beside = _lines(sent.get("recipe", "")), _beside(sent)
    page = f"{who.key_id}:{sent.get('nonce', '')[:64]}"
    made, room = planner.plan(who, page, text, beside), overview.room(service, who)
    needs, problems = made.needs, made.problems
    fits = "" if needs is None or made.problems else room.fits(needs["memory_bytes"])
    if fits == "never":  # the same question with less memory is answered with what would fit
        problems = planner.plan(who, page, text, beside, room.most_bytes).problems
    return pages.page(
        request,
        "recipe_plan.html.jinja",
        made=made,
        needs=needs,
        room=room,
        fits=fits,
        problems=problems,
    )


@routes.post("/console/jobs")
def submit(request: Request) -> Response:
    """A job; the same form sent twice makes one."""
    service, who, sent = service_of(request), who_of(request), pages.filled(request)
    text, beside = _lines(sent.get("recipe", "")), _beside(sent)
    asked = jobs.JobRequest(text, beside, publish=sent.get("publish") or None)

    def work(rows: Transaction) -> Answer:
        return 201, {"id": jobs.accept(service, rows, who, asked).id}

    nonce = f"console:{sent.get('nonce', '')[:64]}"
    digest = hashlib.sha256(
        repr((text, sorted(beside.items()), asked.publish)).encode()
    ).hexdigest()
    _, answer = once(service, who, OnceOnly(nonce, digest), work)
    return pages.to(request, f"/console/jobs/{answer['id']}")


@routes.get("/console/jobs/{job_id}")
def watched(request: Request, job_id: str) -> Response:
    """One job; its events come over the API's stream."""
    service, who = service_of(request), who_of(request)
    job = jobs.get(service, who, job_id)
    events = newest_events(service, who, job_id, None, LOG_LINES)
    newest = events[0].seq if events else 0
    return pages.page(
        request,
        "job.html.jinja",
        job=job,
        stages=_stages(service, who, job_id),
        log=events,
        newest=newest,
        curves_from=max(0, newest - CURVE_EVENTS),
    )


@routes.get("/console/jobs/{job_id}/state")
def state(request: Request, job_id: str) -> Response:
    """The part of a job's page that changes."""
    service, who = service_of(request), who_of(request)
    job = jobs.get(service, who, job_id)
    stages = _stages(service, who, job_id)
    return pages.page(request, "job_state.html.jinja", job=job, stages=stages)


@routes.get("/console/jobs/{job_id}/log")
def log(request: Request, job_id: str, before: int) -> Response:
    """Earlier lines."""
    events = newest_events(service_of(request), who_of(request), job_id, before, LOG_LINES)
    return pages.page(request, "job_log.html.jinja", job_id=job_id, log=events)


@routes.post("/console/jobs/{job_id}/{verb}")
def act(request: Request, job_id: str, verb: str) -> Response:
    """Stop it, or go on."""
    if verb not in VERBS:
        raise InvalidRequest("the verb", ", ".join(VERBS), repr(verb[:20]), "Choose one.")
    VERBS[verb](service_of(request), who_of(request), job_id)
    return pages.to(request, f"/console/jobs/{job_id}")


def _recipe(text: str) -> dict[str, Any]:
    """What the pages of a recipe show."""
    return {
        "recipe": text,
        "problems": recipe_form.problems(text),
        "sections": recipe_form.sections(),
        "values": recipe_form.values(text),
    }


def _beside(sent: Mapping[str, str]) -> dict[str, str]:
    """Files beside the recipe: path → id."""
    return {
        name.removeprefix("beside:"): file_id
        for name, file_id in sent.items()
        if name.startswith("beside:")
    }


def _lines(text: str) -> str:
    """With the ends of lines that a browser's form changes."""
    return text.replace("\r\n", "\n")


def _binary(file: UploadFile) -> BinaryIO:
    return file.file


def _stages(service: Service, who: Principal, job_id: str) -> list[tuple[str, str]]:
    """Name and what became of it, in the order in which they began."""
    found: dict[str, str] = {}
    for event in newest_of_kinds(service, who, job_id, DONE, STAGE_EVENTS):
        name = event.data.get("stage")
        if isinstance(name, str):
            found[name] = DONE[event.kind]
    return list(found.items())
