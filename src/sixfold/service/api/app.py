"""The application: routes, errors, an id for every request, and by which names it may be asked."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from sixfold import __version__
from sixfold.core.errors import SixfoldError
from sixfold.serve.hosts import Hosts
from sixfold.service.api import (
    file_routes,
    job_routes,
    model_routes,
    people_routes,
    problems,
    system_routes,
    worker_routes,
)
from sixfold.service.use_cases.service import Service

Next = Callable[[Request], Awaitable[Response]]
ROUTERS = (job_routes, file_routes, model_routes, people_routes, worker_routes, system_routes)


def create(service: Service, hosts: Sequence[str] = ()) -> FastAPI:
    """`hosts`: names by which it may be asked, besides loopback and the address that a request came to."""
    app = FastAPI(
        title="Sixfold", version=__version__, redoc_url=None, separate_input_output_schemas=False
    )
    app.state.service = service
    for module in ROUTERS:
        app.include_router(module.router)
    problems.install(app)
    allowed = Hosts(list(hosts))

    @app.middleware("http")
    async def guarded(request: Request, call_next: Next) -> Response:
        request.state.request_id = f"req-{secrets.token_hex(12)}"
        try:
            allowed.check(request.scope)
        except SixfoldError as error:
            status = getattr(error, "status", 400)
            body = problems.problem_body(error, status, "invalid_request", request)
            return JSONResponse(body, status, media_type=problems.MEDIA)
        response = await call_next(request)
        response.headers["x-request-id"] = request.state.request_id
        response.headers["x-content-type-options"] = "nosniff"
        return response

    return app
