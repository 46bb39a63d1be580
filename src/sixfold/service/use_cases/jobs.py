"""Jobs, as their owners see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from sixfold.core.errors import RecipeError
from sixfold.recipe.load import from_text
from sixfold.service.domain.errors import InvalidRequest, NotFound, QuotaExceeded
from sixfold.service.domain.ids import checked_name, name_like, new_id
from sixfold.service.domain.jobs import JobEvent, JobSpec, JobState, TrainingJob, Wish
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit, files
from sixfold.service.use_cases.service import Service
from sixfold.telemetry import logs, traces

MOST_PRIORITY = 100
RECIPE_NAME = "recipe.yaml"  # in the job's folder; inputs are beside it
LATER_S = 30  # guessed: when a place may be free


@dataclass(frozen=True)
class JobRequest:
    """A recipe and its files: plain relative path beside the recipe → id of a file. `publish`: the model that a success adds a
    version to; left out, the recipe's name. `inputs`: what the service itself puts beside them, path → digest, or
    `tree:` and the digest of a folder.
    """

    recipe: str
    files: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    priority: int = 0
    publish: str | None = None
    kind: str = "run"
    inputs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def submit(service: Service, who: Principal, request: JobRequest) -> TrainingJob:
    """A job, durable when this returns: see `accept`."""
    with service.database.transaction() as rows:
        return accept(service, rows, who, request)


def accept(
    service: Service, rows: Transaction, who: Principal, request: JobRequest, id_kind: str = "job"
) -> TrainingJob:
    """A job, within the caller's transaction. The recipe's schema and paths are checked here; its data and plan by the worker
    that validates it. Raises InvalidRequest, NotFound (a file), QuotaExceeded.
    """
    who.require(Scope.JOBS)
    given = checked_recipe(request.recipe)
    name = checked_name(request.name or name_like(given), "name")
    publish = checked_name(request.publish or name, "publish")
    if abs(request.priority) > MOST_PRIORITY:
        allowed = f"a number from -{MOST_PRIORITY} to {MOST_PRIORITY}"
        raise InvalidRequest("priority", allowed, str(request.priority), "Choose such a number.")
    _must_have_a_place(rows, who.tenant_id)
    inputs = dict(request.inputs) | {
        checked_path(path): files.found(rows, who.tenant_id, file_id).digest
        for path, file_id in request.files.items()
    }
    spec = JobSpec(request.recipe, inputs, request.kind, publish, request.options)
    job = TrainingJob(
        new_id(id_kind),
        who.tenant_id,
        name,
        spec,
        service.now(),
        who.key_id,
        priority=request.priority,
        origin=_origin(),
    )
    logs.note(job_id=job.id)
    rows.jobs.add(job)
    tell(service, rows, job, "The job is accepted: its recipe and data are looked at next.")
    audit.record(service, rows, who, "job.submit", job.id, name=name)
    return job


def get(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return found(rows, who.tenant_id, job_id)


def page(service: Service, who: Principal, query: PageQuery) -> Page[TrainingJob]:
    """Of the tenant; `where` may hold state, kind, name."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return rows.jobs.page(who.tenant_id, query)


def events_after(
    service: Service, who: Principal, job_id: str, seq: int, limit: int
) -> tuple[JobEvent, ...]:
    """Oldest first. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        found(rows, who.tenant_id, job_id)
        return rows.events.after(who.tenant_id, job_id, seq, limit)


def events_before(
    service: Service, who: Principal, job_id: str, seq: int | None, limit: int
) -> tuple[JobEvent, ...]:
    """Newest first; `seq` None: from the newest. Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        found(rows, who.tenant_id, job_id)
        return rows.events.before(who.tenant_id, job_id, seq, limit)


def cancel(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """At once, or by its worker within seconds. Raises NotFound, Conflict."""
    now = service.now()
    return _change(service, who, job_id, "job.cancel", lambda job: job.cancel(now), "cancelled")


def pause(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """What it has done is kept, and its worker goes on with other jobs. Raises NotFound, Conflict."""
    return _change(service, who, job_id, "job.pause", TrainingJob.pause, "paused")


def resume(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """Exactly where it was. Raises NotFound, Conflict."""
    return _change(service, who, job_id, "job.resume", TrainingJob.resume, "resumed")


def retry(service: Service, who: Principal, job_id: str) -> TrainingJob:
    """A failed or cancelled one goes on from what it had finished. Raises NotFound, Conflict."""
    return _change(service, who, job_id, "job.retry", TrainingJob.retry, "tried again")


def found(rows: Transaction, tenant_id: str, job_id: str) -> TrainingJob:
    """Raises NotFound."""
    job = rows.jobs.get(tenant_id, job_id)
    if job is None:
        raise NotFound("the job", "the id of a job of yours", repr(job_id[:80]), "List your jobs.")
    logs.note(job_id=job.id)
    return job


def tell(
    service: Service,
    rows: Transaction,
    job: TrainingJob,
    message: str,
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """An event of the service's own, behind those that are there."""
    seq = rows.events.last_seq(job.id) + 1
    event = JobEvent(job.id, seq, service.now(), "message", level, message, data or {})
    rows.events.add(job.tenant_id, [event])


def checked_path(path: str) -> str:
    """A plain relative path beside the recipe. Raises InvalidRequest."""
    parts = path.split("/")
    plain = path.isprintable() and "\\" not in path and len(path) <= files.MOST_NAME
    if (
        not plain
        or not path
        or any(part in ("", ".", "..") for part in parts)
        or path == RECIPE_NAME
    ):
        raise InvalidRequest(
            "files", "plain relative paths beside the recipe", repr(path[:80]), "Rename it."
        )
    return path


def _origin() -> dict[str, str]:
    """Of the request that is answered now: its job's lines and spans say where they come from."""
    request_id = logs.noted("request_id")
    return traces.headers() | ({} if request_id is None else {"request_id": request_id})


def checked_recipe(text: str) -> str:
    """The name of a recipe whose schema and paths are good. Raises InvalidRequest."""
    try:
        recipe = from_text(text, RECIPE_NAME)
    except RecipeError as error:
        raise InvalidRequest(error.where, error.expected, error.found, error.remedy) from None
    for where, value in _strings(recipe.model_dump(mode="json"), ""):
        path = PurePosixPath(value)
        if path.is_absolute() or value.startswith("~") or ".." in path.parts:
            raise InvalidRequest(
                where,
                "a path beside the recipe",
                repr(value[:80]),
                "Upload the file, and name it by the path under `files`.",
            )
    return recipe.name


def _strings(value: object, where: str) -> list[tuple[str, str]]:
    """All texts in it, with their places: any of them may be a path."""
    if isinstance(value, str):
        return [(where, value)]
    if isinstance(value, Mapping):
        pairs = [(f"{where}.{key}".lstrip("."), one) for key, one in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(f"{where}[{at}]", one) for at, one in enumerate(value)]
    else:
        return []
    return [found for place, one in pairs for found in _strings(one, place)]


def _must_have_a_place(rows: Transaction, tenant_id: str) -> None:
    tenant = rows.tenants.get(tenant_id)
    most = None if tenant is None else tenant.quota.jobs_waiting
    counts = rows.jobs.counts(tenant_id)
    waiting = counts.get(JobState.QUEUED, 0) + counts.get(JobState.VALIDATING, 0)
    if most is not None and waiting >= most:
        raise QuotaExceeded(
            "jobs",
            f"at most {most} that wait",
            str(waiting),
            "Wait for them, or cancel some.",
            LATER_S,
        )
    if files.room_of(rows, tenant_id) == 0:
        remedy = "Delete files or versions, or ask for a larger quota.storage_bytes."
        raise QuotaExceeded("storage", "room for what the job makes", "none", remedy)


def _change(
    service: Service,
    who: Principal,
    job_id: str,
    verb: str,
    change: Callable[[TrainingJob], TrainingJob],
    word: str,
) -> TrainingJob:
    who.require(Scope.JOBS)
    with service.database.transaction() as rows:
        job = rows.jobs.save(change(found(rows, who.tenant_id, job_id)))
        asked = job.wish is not Wish.RUN
        tell(service, rows, job, f"The job is to be {word}." if asked else f"The job is {word}.")
        audit.record(service, rows, who, verb, job_id)
    return job
