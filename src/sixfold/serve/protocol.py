"""The routes of the Open Inference Protocol, version 2: what KServe, Triton and their clients speak."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import sixfold
from sixfold.bundle.frontend import shown
from sixfold.bundle.load import Bundle
from sixfold.core.errors import SixfoldError
from sixfold.core.units import size_bytes
from sixfold.recipe.schema import Serve
from sixfold.serve import tensors
from sixfold.serve.body import check_count, read_json
from sixfold.serve.errors import bad_request, error_response, json_response
from sixfold.serve.limits import Gate, read_body
from sixfold.serve.metrics import Metrics

LENGTH = "Inference-Header-Content-Length"


class Protocol:
    """One model, served under its recipe's name, in version 1."""

    def __init__(self, bundle: Bundle, settings: Serve, gate: Gate, metrics: Metrics) -> None:
        self.bundle, self.settings, self.gate, self.metrics = bundle, settings, gate, metrics

    def routes(self) -> list[Route]:
        """All routes under /v2."""
        model = f"/v2/models/{self.bundle.name}"
        routes = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.alive),
            Route("/v2/health/ready", self.alive),
        ]
        for base in (model, f"{model}/versions/1"):
            routes += [
                Route(base, self.model),
                Route(f"{base}/ready", self.alive),
                Route(f"{base}/infer", self.infer, methods=["POST"]),
            ]
        return routes

    async def server(self, request: Request) -> Response:
        """GET /v2: name, version, extensions."""
        return json_response({"name": "sixfold", "version": sixfold.__version__, "extensions": ["binary_tensor_data"]})

    async def alive(self, request: Request) -> Response:
        """The health checks: the status alone says it; a bundle that is served is loaded."""
        return json_response({"live": True, "ready": True, "name": self.bundle.name})

    async def model(self, request: Request) -> Response:
        """Names, types and shapes of the model's tensors."""
        return json_response(tensors.metadata(self.bundle.signature, self.bundle.name))

    async def infer(self, request: Request) -> Response:
        """One inference."""
        try:
            async with self.gate.place():
                body = await read_body(request, size_bytes(self.settings.max_body))
                length = request.headers.get(LENGTH)
                return await self.gate.work(lambda: self._answer(body, length))
        except SixfoldError as error:
            return error_response(error, flat=True)

    def _answer(self, body: bytes, length: str | None) -> Response:
        split = len(body) if length is None else self._length(length, len(body))
        head = read_json(body[:split])
        if not isinstance(head, dict):
            raise bad_request("the body", "an inference request", shown(head), tensors.REMEDY)
        signature = self.bundle.signature
        columns = tensors.columns_of(head, body[split:])
        outputs = tensors.wanted(head, signature)
        check_count(max(map(len, columns.values()), default=0), self.settings.max_rows)
        predictions = self.bundle.predict(columns, extra="refuse")
        self.metrics.rows.inc(len(predictions))
        content, json_length = tensors.answer(predictions, outputs, self.bundle.name, head.get("id"))
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={LENGTH: str(json_length)}, media_type="application/octet-stream")

    def _length(self, text: str, most: int) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= most):
            raise bad_request(LENGTH, f"a number of at most {most}", shown(text), tensors.REMEDY)
        return int(text)
