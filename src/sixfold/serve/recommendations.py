"""POST /recommend: the best items for a user, for a session, or like an item."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold.bundle.frontend import shown
from sixfold.bundle.recommend.runtime import RecommenderRuntime
from sixfold.core.errors import SixfoldError
from sixfold.serve.body import read_json
from sixfold.serve.errors import JsonAnswer, Refusal, error_response, fault_response, to_json
from sixfold.serve.inference import Server
from sixfold.serve.limits import Headers
from sixfold.serve.recommend_request import content_of, read_request

PATH: Final = "/recommend"
JSON: Final = b"application/json"


class Recommendations:
    """An ASGI endpoint. `model`: what answers."""

    def __init__(self, server: Server, model: RecommenderRuntime) -> None:
        self.server, self.model = server, model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with the four parts of an error."""
        try:
            response: ASGIApp = await self._response(dict(scope["headers"]), receive)
        except SixfoldError as error:
            response = error_response(error, scope["path"])
        except Exception:
            await fault_response(scope["path"])(scope, receive, send)
            raise  # for the log
        await response(scope, receive, send)

    async def _response(self, headers: Headers, receive: Receive) -> ASGIApp:
        gate, bodies = self.server.gate, self.server.bodies
        kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
        if kind != JSON:
            found = shown(kind.decode("latin-1"))
            raise Refusal(415, "Content-Type", JSON.decode(), found, "Set the header.")
        body = await bodies.read(headers, receive, gate.check_room)
        try:
            with gate.place():
                return await gate.work(lambda: self._answer(body))
        finally:
            if type(body) is bytearray:  # a large one
                bodies.release(body)

    def _answer(self, body: bytes | bytearray) -> JsonAnswer:
        request = read_request(read_json(body), self.model)
        return JsonAnswer(to_json(content_of(self.model.recommend(request), self.model)).encode())
