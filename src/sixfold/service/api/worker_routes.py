"""`/api/v1/workers`: what workers ask and tell. Everything about a job names the attempt that it is told for."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from sixfold.service.api import shapes
from sixfold.service.api.access import In, Who, plain
from sixfold.service.domain.jobs import JobFailure, JobNeeds, WorkerMachine
from sixfold.service.use_cases import workers
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.workers import Holding, RunLine

router = APIRouter(prefix="/api/v1/workers", tags=["workers"])


@router.post("")
def hello(body: shapes.Hello, service: In, who: Who) -> dict[str, Any]:
    """A worker says that it is there."""
    facts = dict(shapes.fields(body)) | {"devices": tuple(body.devices), "seen_at": 0.0}
    workers.hello(service, who, WorkerMachine(**facts))
    return {"lease_s": service.settings.lease_s, "beat_s": service.settings.beat_s}


@router.delete("/{worker_id}", status_code=204)
def goodbye(worker_id: str, service: In, who: Who) -> None:
    """A worker ends."""
    workers.goodbye(service, who, worker_id)


@router.post("/{worker_id}/claim", response_model=None)
def claim(worker_id: str, body: shapes.ClaimBody, service: In, who: Who) -> Response:
    """The job that is due and fits, or 204."""
    held = None if body.held is None else frozenset(body.held)
    job = workers.claim(service, who, worker_id, body.free_bytes, held)
    if job is None:
        return Response(status_code=204)
    return JSONResponse(plain(dataclasses.asdict(job)))


@router.post("/{worker_id}/jobs/{job_id}/beat")
def beat(
    worker_id: str, job_id: str, body: shapes.BeatBody, service: In, who: Who
) -> dict[str, str]:
    """It lives; what its owner wants of the job comes back."""
    holding = Holding(job_id, worker_id, body.attempt)
    return {"wish": workers.beat(service, who, holding, body.progress)}


@router.post("/{worker_id}/jobs/{job_id}/planned", status_code=204)
def planned(worker_id: str, job_id: str, body: shapes.PlannedBody, service: In, who: Who) -> None:
    """The recipe is good; what it needs."""
    needs = JobNeeds(**body.needs.model_dump())
    holding = Holding(job_id, worker_id, body.attempt)
    workers.planned(service, who, holding, needs, body.settings)


@router.post("/{worker_id}/jobs/{job_id}/events")
def report(
    worker_id: str, job_id: str, body: shapes.EventsBody, service: In, who: Who
) -> dict[str, int]:
    """Lines of the run's stream."""
    lines = [RunLine(**line.model_dump()) for line in body.lines]
    return {"new": workers.report(service, who, Holding(job_id, worker_id, body.attempt), lines)}


@router.post("/{worker_id}/jobs/{job_id}/saved", status_code=204)
def saved(worker_id: str, job_id: str, body: shapes.SavedBody, service: In, who: Who) -> None:
    """Finished stages are stored."""
    workers.saved(service, who, Holding(job_id, worker_id, body.attempt), body.run_tree)


@router.post("/{worker_id}/jobs/{job_id}/succeeded", status_code=204)
def succeeded(
    worker_id: str, job_id: str, body: shapes.SucceededBody, service: In, who: Who
) -> None:
    """Done: a version is published."""
    new = NewVersion(**body.new.model_dump())
    measured = None if body.measured is None else JobNeeds(**body.measured.model_dump())
    holding = Holding(job_id, worker_id, body.attempt)
    workers.succeeded(service, who, holding, new, body.result, measured)


@router.post("/{worker_id}/jobs/{job_id}/failed", status_code=204)
def failed(worker_id: str, job_id: str, body: shapes.FailedBody, service: In, who: Who) -> None:
    """It cannot be done."""
    facts = body.failure.model_dump() | {"last_lines": tuple(body.failure.last_lines)}
    workers.failed(service, who, Holding(job_id, worker_id, body.attempt), JobFailure(**facts))


@router.post("/{worker_id}/jobs/{job_id}/released", status_code=204)
def released(worker_id: str, job_id: str, body: shapes.ReleasedBody, service: In, who: Who) -> None:
    """Given back."""
    holding = Holding(job_id, worker_id, body.attempt)
    workers.released(service, who, holding, body.crashed, body.last_lines)
