"""The application: the routes around one bundle, by what its model answers."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sixfold.bundle.load import Bundle
from sixfold.bundle.runtime import Generates, Recommends, Transcribes
from sixfold.core.units import size_bytes
from sixfold.recipe.serving import Serve
from sixfold.serve import openapi, pages
from sixfold.serve.bodies import Bodies
from sixfold.serve.body import Reader
from sixfold.serve.errors import json_response, on_fault, on_http_exception
from sixfold.serve.hosts import ANY, Hosts
from sixfold.serve.inference import Inference, Server
from sixfold.serve.language.app import create_language
from sixfold.serve.limits import Gate
from sixfold.serve.metrics import Metrics
from sixfold.serve.protocol import Protocol
from sixfold.serve.recommendations import PATH as RECOMMEND
from sixfold.serve.recommendations import Recommendations
from sixfold.serve.transcriptions import PATH as TRANSCRIBE
from sixfold.serve.transcriptions import Transcriptions, model_routes
from sixfold.serve.watched import App

PREDICT = "/predict"


def create(bundle: Bundle, settings: Serve, hosts: Hosts | None = None) -> App:
    """An application that answers for `bundle` within `settings`. Several may live in one process.

    `hosts`: left out, every Host and Origin is answered: within another application, that one
    checks them.
    """
    runtime = bundle.predictor.runtime
    if isinstance(runtime, Generates):
        return create_language(bundle, runtime.language_model(), settings, hosts)
    bodies = Bodies(size_bytes(settings.max_body))
    server = Server(bundle, settings, Gate(settings.concurrency), bodies, Metrics())
    protocol = Protocol(server)
    inferences: dict[str, ASGIApp] = {
        PREDICT: Inference(server, Reader(bundle, settings.max_rows).read),
        **protocol.inferences,
    }
    routes = [*_pages(server), *protocol.routes()]
    if isinstance(runtime, Recommends):
        model = runtime.recommender().searching(settings.neighbors)
        inferences[RECOMMEND] = Recommendations(server, model)
    if isinstance(runtime, Transcribes):
        inferences[TRANSCRIBE] = Transcriptions(server, runtime.transcriber())
        routes += model_routes(server)
    routes += [
        Route(path, inference, methods=["POST"]) for path, inference in inferences.items()
    ]  # for 405
    others = Starlette(
        routes=routes, exception_handlers={HTTPException: on_http_exception, Exception: on_fault}
    )
    others.router.redirect_slashes = False  # it would redirect to whatever the Host header says
    return App(server, inferences, others, hosts or Hosts((ANY,)))


def _pages(server: Server) -> list[Route]:
    """What is read, by people and by machines that look after the server."""
    bundle, gate = server.bundle, server.gate
    document = openapi.document(bundle, server.settings)

    def shown() -> str:
        runtime = bundle.predictor.runtime
        if isinstance(runtime, Recommends):
            return pages.recommend_page(bundle, runtime.recommender())
        return pages.try_page(bundle, server.settings)

    async def page(request: Request) -> Response:
        return HTMLResponse(shown(), headers=pages.HEADERS)

    async def docs(request: Request) -> Response:
        return HTMLResponse(pages.docs_page(bundle, document), headers=pages.HEADERS)

    async def openapi_json(request: Request) -> Response:
        return json_response(document)

    async def signature(request: Request) -> Response:
        return json_response(bundle.signature.model_dump(mode="json"))

    async def livez(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        full = gate.inside >= gate.places
        return json_response(
            {"status": "busy" if full else "ok", "model": bundle.name}, 503 if full else 200
        )

    async def figures(request: Request) -> Response:
        return server.metrics.response()

    return [
        Route("/", page),
        Route("/docs", docs),
        Route("/openapi.json", openapi_json),
        Route("/signature", signature),
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", figures),
    ]
