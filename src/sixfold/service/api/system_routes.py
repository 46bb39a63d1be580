"""`/livez`, `/readyz`: for whoever keeps the server running."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from sixfold.service.api.access import In, Who
from sixfold.service.domain.people import Scope

router = APIRouter(tags=["system"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers. Touches nothing."""
    return {"status": "alive"}


@router.get("/readyz", response_model=None)
def readyz(request: Request, service: In) -> JSONResponse:
    """State can be read, and bytes can be stored; 503 names what cannot."""
    wrong = request.app.state.readiness.wrong(service)
    if wrong:
        return JSONResponse({"status": "not ready", **wrong}, 503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, who: Who) -> Response:
    """For operators, in Prometheus' text format: all tenants' deployments stand in it, so that loopback alone opens nothing."""
    who.require(Scope.OPERATE)
    text = request.app.state.figures.text(request.app.state.gateway)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


class WorkerAnswer(BaseModel):
    """A machine. `memory_bytes`: for jobs in all; `free_bytes`: of it, not promised to a job; `seen_at`: seconds since 1970."""

    id: str
    name: str
    cores: int
    memory_bytes: int
    free_bytes: int
    seen_at: float
    version: str
    devices: list[str]


@router.get("/api/v1/system/workers")
def workers(service: In, who: Who) -> list[WorkerAnswer]:
    """For operators: who works, and what is free there."""
    who.require(Scope.OPERATE)
    with service.database.reading() as rows:
        found = rows.workers.all()
    return [WorkerAnswer.model_validate(one, from_attributes=True) for one in found]
