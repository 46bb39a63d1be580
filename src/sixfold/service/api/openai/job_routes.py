"""`/v1/fine_tuning/jobs`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request

from sixfold.service.api.access import In, Once, PagedBy, Who
from sixfold.service.api.openai import shapes
from sixfold.service.api.openai.shapes import (
    OpenAICheckpoint,
    OpenAIEvent,
    OpenAIJob,
    OpenAIList,
    SentBody,
)
from sixfold.service.domain.errors import InvalidRequest
from sixfold.service.domain.jobs import TrainingJob
from sixfold.service.domain.people import Principal
from sixfold.service.use_cases import files, fine_tuning, jobs
from sixfold.service.use_cases.fine_tuning import SentCreate
from sixfold.service.use_cases.service import Service

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["OpenAI: fine-tuning"])
Change = Callable[[Service, Principal, str], TrainingJob]
After = Annotated[str | None, Query(max_length=64)]
NEW: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": shapes.NewFineTuning.model_json_schema()}},
    }
}


@router.post("", openapi_extra=NEW)
def create(
    body: SentBody,
    service: In,
    who: Who,
    asked: Once,
    x_stainless_retry_count: Annotated[int, Header(ge=0)] = 0,
) -> OpenAIJob:
    """Create a job. What the stock client sends again, after an answer that it did not get, creates no second one."""
    arrived_at = service.now()
    files.expire(service)
    request = shapes.parsed(shapes.NewFineTuning, body).request()
    digest = hashlib.sha256(body).hexdigest()
    sent = SentCreate(digest, x_stainless_retry_count, arrived_at, asked)
    job = fine_tuning.create(service, who, request, sent)
    return _answer(service, job)


@router.get("")
def page(request: Request, service: In, who: Who, asked: PagedBy) -> OpenAIList[OpenAIJob]:
    """Newest first. `metadata[key]=value`: those that have it; `metadata=null`: those that have none."""
    metadata, without = _metadata(request)
    found = fine_tuning.page(service, who, asked, metadata, without)
    rows = [_answer(service, one) for one in found.rows]
    return OpenAIList[OpenAIJob].of(rows, found.more)


@router.get("/{job_id}")
def get(job_id: str, service: In, who: Who) -> OpenAIJob:
    """One job."""
    return _answer(service, fine_tuning.get(service, who, job_id))


@router.post("/{job_id}/cancel")
def cancel(job_id: str, service: In, who: Who) -> OpenAIJob:
    """Stop it for good."""
    return _changed(jobs.cancel, service, who, job_id)


@router.post("/{job_id}/pause")
def pause(job_id: str, service: In, who: Who) -> OpenAIJob:
    """Stop it until it is resumed."""
    return _changed(jobs.pause, service, who, job_id)


@router.post("/{job_id}/resume")
def resume(job_id: str, service: In, who: Who) -> OpenAIJob:
    """Go on exactly where it was."""
    return _changed(jobs.resume, service, who, job_id)


@router.get("/{job_id}/events")
def events(
    job_id: str,
    service: In,
    who: Who,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> OpenAIList[OpenAIEvent]:
    """Newest first."""
    job = fine_tuning.get(service, who, job_id)
    seq = None if after is None else _number(after)
    found = jobs.events_before(service, who, job.id, seq, limit + 1)
    rows = [OpenAIEvent.of(one) for one in found[:limit]]
    return OpenAIList[OpenAIEvent].of(rows, len(found) > limit)


@router.get("/{job_id}/checkpoints")
def checkpoints(
    job_id: str,
    service: In,
    who: Who,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> OpenAIList[OpenAICheckpoint]:
    """Newest first; of a job that succeeded."""
    job = fine_tuning.get(service, who, job_id)
    rows = [OpenAICheckpoint.of(job, one) for one in job.result.get("checkpoints", ())]
    rows.sort(key=lambda one: one.step_number, reverse=True)
    if after is not None:
        places = [place for place, one in enumerate(rows) if one.id == after]
        if not places:
            raise _unknown(after, "a checkpoint")
        rows = rows[places[0] + 1 :]
    return OpenAIList[OpenAICheckpoint].of(rows[:limit], len(rows) > limit)


def _changed(change: Change, service: Service, who: Principal, job_id: str) -> OpenAIJob:
    """Of a fine-tuning job alone. Raises NotFound, Conflict."""
    fine_tuning.get(service, who, job_id)
    return _answer(service, change(service, who, job_id))


def _answer(service: Service, job: TrainingJob) -> OpenAIJob:
    return OpenAIJob.of(job, service.settings.organization)


def _number(event_id: str) -> int:
    """Of an event in its job, from its id."""
    text = event_id.rpartition("-")[2]
    if not event_id.startswith("ftevent-") or not text.isdecimal() or len(text) > 15:
        raise _unknown(event_id, "an event")
    return int(text)


def _unknown(after: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        "after", f"the id of {what} of this job", repr(after), "List from the start."
    )


def _metadata(request: Request) -> tuple[dict[str, str], bool]:
    """What the query asks of the jobs' metadata, and whether there is to be none."""
    found, without = {}, False
    for name, value in request.query_params.multi_items():
        if name.startswith("metadata[") and name.endswith("]"):
            found[name[len("metadata[") : -1]] = value
        elif name == "metadata" and value == "null":
            without = True
        elif name not in ("after", "limit"):
            raise InvalidRequest(
                name[:80], "after, limit or metadata[key]", repr(value[:80]), "Leave it out."
            )
    return found, without
