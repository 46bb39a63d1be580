"""The application: the routes around one bundle."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

import sixfold
from sixfold.bundle.headerless import Fields
from sixfold.bundle.load import Bundle
from sixfold.core.errors import SixfoldError
from sixfold.core.units import size_bytes
from sixfold.recipe.schema import Serve
from sixfold.recipe.signature import Signature
from sixfold.serve import body, openapi, pages
from sixfold.serve.errors import error_response, json_response, on_fault, on_http_exception
from sixfold.serve.limits import Gate, read_body
from sixfold.serve.metrics import Measured, Metrics
from sixfold.serve.protocol import Protocol


class Predict:
    """POST /predict: a plain Starlette route, because this is the hot path."""

    def __init__(self, bundle: Bundle, settings: Serve, gate: Gate, metrics: Metrics) -> None:
        self.bundle, self.settings, self.gate, self.metrics = bundle, settings, gate, metrics
        self.separator = bundle.recipe.data.separator or ","
        self.fields = Fields.of(bundle.signature)
        self.max_body = size_bytes(settings.max_body)

    async def __call__(self, request: Request) -> Response:
        """Answer a request, or refuse it with the four parts of an error."""
        try:
            async with self.gate.place():
                content = await read_body(request, self.max_body)
                content_type = request.headers.get("content-type", "")
                return await self.gate.work(lambda: self._answer(content, content_type))
        except SixfoldError as error:
            return error_response(error)

    def _answer(self, content: bytes, content_type: str) -> Response:
        rows = body.parse(content, content_type, self.separator, self.fields)
        body.check_count(body.count(rows), self.settings.max_rows)
        predictions = self.bundle.predict(rows, extra="refuse")
        self.metrics.rows.inc(len(predictions))
        return json_response({"predictions": predictions.records()})


def create(bundle: Bundle, settings: Serve) -> FastAPI:
    """An application that answers for `bundle` within `settings`. Several may live in one process."""
    app = FastAPI(title=bundle.name, version=sixfold.__version__, docs_url=None, redoc_url=None, openapi_url=None)
    metrics, gate = Metrics(), Gate(settings.concurrency)
    document = openapi.document(bundle, settings)

    @app.get("/signature")
    def signature() -> Signature:
        return bundle.signature

    async def page(request: Request) -> Response:
        return HTMLResponse(pages.try_page(bundle), headers=pages.HEADERS)

    async def docs(request: Request) -> Response:
        return HTMLResponse(pages.docs_page(bundle, document), headers=pages.HEADERS)

    async def openapi_json(request: Request) -> Response:
        return json_response(document)

    async def livez(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        full = gate.inside >= gate.places
        return json_response({"status": "busy" if full else "ok", "model": bundle.name}, 503 if full else 200)

    async def figures(request: Request) -> Response:
        return metrics.response()

    predict = Predict(bundle, settings, gate, metrics)
    plain: list[tuple[str, Any]] = [
        ("/", page), ("/docs", docs), ("/openapi.json", openapi_json),
        ("/livez", livez), ("/readyz", readyz), ("/metrics", figures),
    ]  # fmt: skip
    routes = [Route(path, endpoint) for path, endpoint in plain]
    routes.append(Route("/predict", predict.__call__, methods=["POST"]))
    routes += Protocol(bundle, settings, gate, metrics).routes()
    app.router.routes.extend(routes)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_fault)
    known = frozenset({route.path for route in routes} | {"/signature"})
    app.add_middleware(Measured, metrics=metrics, routes=known)
    return app
