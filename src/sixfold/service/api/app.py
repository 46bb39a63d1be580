"""The application: the API's routes and errors behind the front door."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import Scope

from sixfold import __version__
from sixfold.core.errors import SixfoldError
from sixfold.serve.hosts import Hosts
from sixfold.service.api import (
    audit_routes,
    deployment_routes,
    file_routes,
    job_routes,
    model_routes,
    people_routes,
    problems,
    system_routes,
    upload_routes,
    usage_routes,
    user_routes,
    worker_routes,
)
from sixfold.service.api.inference_document import ServiceApi
from sixfold.service.api.openai import file_routes as openai_files
from sixfold.service.api.openai import job_routes as openai_jobs
from sixfold.service.api.openai import model_routes as openai_models
from sixfold.service.console import console
from sixfold.service.console.recipe_planner import RecipePlanner
from sixfold.service.gateway.front_door import FrontDoor
from sixfold.service.gateway.gateway import Gateway
from sixfold.service.gateway.key_cache import KeyCache
from sixfold.service.gateway.records import GatewayRecords
from sixfold.service.use_cases.readiness import Readiness
from sixfold.service.use_cases.service import Service
from sixfold.service.use_cases.sign_on import SignOn

ROUTERS = (
    job_routes,
    file_routes,
    model_routes,
    upload_routes,
    deployment_routes,
    people_routes,
    user_routes,
    worker_routes,
    system_routes,
    usage_routes,
    audit_routes,
    openai_files,
    openai_jobs,
    openai_models,
)

# FastAPI's own spans may hold what was sent; ours (`telemetry`) hold no body.
OWN_SPANS_ALONE: Final[Any] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


def create(
    service: Service,
    home: Path,
    hosts: Sequence[str] = (),
    sign_on: SignOn | None = None,
    ending: threading.Event | None = None,
) -> FrontDoor:
    """`home`: for bundles on this machine. `hosts`: names by which it may be asked, besides loopback and the address that a
    request came to. `sign_on`: with accounts of elsewhere; None: with keys alone. `ending`: from when on streams of events end,
    which would last as long as their jobs.
    """
    gateway = Gateway(service, home / "gateway")
    records = GatewayRecords(gateway)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.begin()
        keeping = [asyncio.create_task(one) for one in (gateway.keep(), records.keep())]
        yield
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

    app = ServiceApi(
        title="Sixfold",
        version=__version__,
        docs_url=None,  # the console has a page that loads nothing from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
        lifespan=lifespan,
        telemetry=OWN_SPANS_ALONE,
    )
    app.state.service = service
    app.state.gateway = gateway
    app.state.sign_on = sign_on
    app.state.ending = ending or threading.Event()
    app.state.figures = records.figures
    app.state.planner = RecipePlanner(service, home / "plans")
    app.state.readiness = Readiness()
    for module in ROUTERS:
        responses = problems.documented(module.router.prefix)
        app.include_router(module.router, responses=responses)
    app.include_router(console.router)
    problems.install(app)
    return FrontDoor(app, gateway, KeyCache(service), Hosts(list(hosts)), _problem, records)


def _problem(scope: Scope, error: SixfoldError) -> JSONResponse:
    return problems.answer(Request(scope), error)
