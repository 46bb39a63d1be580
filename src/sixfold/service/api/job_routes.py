"""`/api/v1/jobs`: submit, list, look, stop, go on, and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from sixfold.core import strict_json
from sixfold.service.api.access import In, Once, PagedBy, Who, done_once
from sixfold.service.api.shapes import EventAnswer, JobAnswer, Listed, NewJob
from sixfold.service.domain.jobs import FINISHED, JobEvent, JobState
from sixfold.service.domain.people import Principal
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page
from sixfold.service.use_cases import jobs
from sixfold.service.use_cases.service import Service

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
WATCH_S = 0.3  # between two looks for new events: guessed
KEEP_ALIVE_S = 15.0
EVENTS_AT_ONCE = 500
Seq = Annotated[int, Query(ge=0, lt=1 << 63)]  # known before the stream begins


@router.post("", status_code=201, response_model=JobAnswer)
def submit(body: NewJob, service: In, who: Who, asked: Once) -> JSONResponse:
    """Submit a job. With an `Idempotency-Key`, sending it again creates no second one."""
    request = jobs.JobRequest(body.recipe, body.files, body.name, body.priority, body.publish)

    def work(rows: Transaction) -> JobAnswer:
        return JobAnswer.of(jobs.accept(service, rows, who, request))

    return done_once(service, who, asked, work, 201)


@router.get("")
def page(
    service: In,
    who: Who,
    asked: PagedBy,
    state: JobState | None = None,
) -> Listed[JobAnswer]:
    """Newest first."""
    where = {} if state is None else {"state": str(state)}
    return Listed[JobAnswer].of(jobs.page(service, who, replace(asked, where=where)), JobAnswer.of)


@router.get("/{job_id}")
def get(job_id: str, service: In, who: Who) -> JobAnswer:
    """One job."""
    return JobAnswer.of(jobs.get(service, who, job_id))


@router.post("/{job_id}/cancel")
def cancel(job_id: str, service: In, who: Who) -> JobAnswer:
    """Stop it for good; what it has finished is kept until it is deleted, and a retry goes on from it."""
    return JobAnswer.of(jobs.cancel(service, who, job_id))


@router.post("/{job_id}/pause")
def pause(job_id: str, service: In, who: Who) -> JobAnswer:
    """Stop it until it is resumed."""
    return JobAnswer.of(jobs.pause(service, who, job_id))


@router.post("/{job_id}/resume")
def resume(job_id: str, service: In, who: Who) -> JobAnswer:
    """Go on exactly where it was."""
    return JobAnswer.of(jobs.resume(service, who, job_id))


@router.post("/{job_id}/retry")
def retry(job_id: str, service: In, who: Who) -> JobAnswer:
    """Try a failed or cancelled one again."""
    return JobAnswer.of(jobs.retry(service, who, job_id))


@router.get("/{job_id}/events")
def events(
    job_id: str,
    service: In,
    who: Who,
    after: Seq = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Listed[EventAnswer]:
    """Oldest first, behind the number `after`."""
    found = jobs.events_after(service, who, job_id, after, limit + 1)
    return Listed[EventAnswer].of(Page(found[:limit], len(found) > limit), EventAnswer.of)


@router.get("/{job_id}/stream", response_class=StreamingResponse)
async def stream(
    request: Request, job_id: str, service: In, who: Who, after: Seq = 0
) -> StreamingResponse:
    """Live, as server-sent events (`id` is the number: `Last-Event-ID` goes on behind it), until the job is finished or the
    server stops.
    """
    last = request.headers.get("last-event-id", "")
    start = int(last) if last.isdecimal() and len(last) < 16 else after
    await anyio.to_thread.run_sync(jobs.get, service, who, job_id)
    lines = _lines(request, service, who, job_id, start)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


async def _lines(
    request: Request, service: Service, who: Principal, job_id: str, seq: int
) -> AsyncIterator[str]:
    silent, ending = 0.0, request.app.state.ending
    while not ending.is_set() and not await request.is_disconnected():
        state, new = await anyio.to_thread.run_sync(_look, service, who, job_id, seq)
        for event in new:
            seq, silent = event.seq, 0.0
            yield _sent(event.seq, event.kind, EventAnswer.of(event).model_dump(mode="json"))
        if new:
            continue
        if state in FINISHED:
            yield _sent(seq, "end", {"state": str(state)})
            return
        await asyncio.sleep(WATCH_S)
        silent += WATCH_S
        if silent > KEEP_ALIVE_S:
            silent = 0.0
            yield ": still there\n\n"


def _look(
    service: Service, who: Principal, job_id: str, seq: int
) -> tuple[JobState, tuple[JobEvent, ...]]:
    """The state first: what comes after it is in the next look."""
    state = jobs.get(service, who, job_id).state
    return state, jobs.events_after(service, who, job_id, seq, EVENTS_AT_ONCE)


def _sent(seq: int, kind: str, data: dict[str, Any]) -> str:
    return f"id: {seq}\nevent: {kind}\ndata: {strict_json.text(data)}\n\n"
