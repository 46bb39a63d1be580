"""The routes of the Open Inference Protocol, version 2: what KServe, Triton and their clients
speak.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import sixfold
from sixfold.bundle.frontend import RawRows, most_columns, shown
from sixfold.bundle.predictions import Predictions
from sixfold.serve import tensors
from sixfold.serve.body import check_count, check_values, read_json
from sixfold.serve.errors import JsonAnswer, bad_request, json_response
from sixfold.serve.inference import Inference, Question, Server
from sixfold.serve.limits import LARGE_BODY, Headers

LENGTH: Final = "Inference-Header-Content-Length"
LENGTH_KEY: Final = LENGTH.lower().encode()


class Protocol:
    """One model, served under its recipe's name, in version 1."""

    def __init__(self, server: Server) -> None:
        self.bundle, self.max_rows = server.bundle, server.settings.max_rows
        self.inputs = tensors.Inputs(server.bundle.signature, self.max_rows)
        self.columns = most_columns(server.bundle.signature)
        self.bases = (f"/v2/models/{self.bundle.name}", f"/v2/models/{self.bundle.name}/versions/1")
        self.inferences = dict.fromkeys(
            (f"{base}/infer" for base in self.bases), Inference(server, self.read)
        )

    def routes(self) -> list[Route]:
        """All routes under /v2 that give facts."""
        routes = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.alive),
            Route("/v2/health/ready", self.alive),
        ]
        for base in self.bases:
            routes += [Route(base, self.model), Route(f"{base}/ready", self.alive)]
        return routes

    async def server(self, request: Request) -> Response:
        """GET /v2: name, version, extensions."""
        return json_response(
            {
                "name": "sixfold",
                "version": sixfold.__version__,
                "extensions": ["binary_tensor_data"],
            }
        )

    async def alive(self, request: Request) -> Response:
        """The health checks: the status alone says it; a bundle that is served is loaded."""
        return json_response({"live": True, "ready": True, "name": self.bundle.name})

    async def model(self, request: Request) -> Response:
        """Names, types and shapes of the model's tensors."""
        return json_response(tensors.metadata(self.bundle.signature, self.bundle.name))

    def read(self, body: bytes | bytearray, headers: Headers) -> Question:
        """An inference request. Raises Refusal 400 or 413, RowError."""
        length = headers.get(LENGTH_KEY)
        split = len(body) if length is None else _length(length, len(body))
        whole = memoryview(body)
        if split > LARGE_BODY:
            check_values(whole[:split], self.max_rows, self.columns)
        head = read_json(whole[:split])
        if not isinstance(head, dict):
            raise bad_request("the body", "an inference request", shown(head), tensors.REMEDY)
        outputs = tensors.wanted(head, self.bundle.signature)
        rows, count = self._rows(head, whole[split:])
        check_count(count, self.max_rows)
        return Question(rows, count, partial(self._answer, outputs, head.get("id")))

    def _rows(self, head: dict[str, Any], tail: memoryview) -> tuple[RawRows, int]:
        row = None if len(tail) else self.inputs.plain_row(head)
        if row is not None:
            return [row], 1
        columns = self.inputs.columns(head, tail)
        count = max(map(len, columns.values()), default=0)
        if (
            count == 1 == min(map(len, columns.values()))
        ):  # a row has a quicker way through the front end
            return [{name: values[0] for name, values in columns.items()}], 1
        return columns, count

    def _answer(
        self, outputs: list[tensors.Wanted], request_id: Any, predictions: Predictions
    ) -> ASGIApp:
        text, tail = tensors.answer(predictions, outputs, self.bundle.name, request_id)
        if not tail:
            return JsonAnswer(text.encode())
        head = text.encode()
        content, headers = b"".join([head, *tail]), {LENGTH: str(len(head))}
        return Response(content, headers=headers, media_type="application/octet-stream")


def _length(text: bytes, most: int) -> int:
    if not (text.isdigit() and len(text) < 20 and int(text) <= most):
        raise bad_request(
            LENGTH, f"a number of at most {most}", shown(text.decode("latin-1")), tensors.REMEDY
        )
    return int(text)
