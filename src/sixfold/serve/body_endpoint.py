"""What every endpoint that answers from a bundle does: errors in the form of its route, and the body of a request that is
answered at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold.bundle.frontend import shown
from sixfold.core.errors import SixfoldError
from sixfold.serve.errors import Refusal, error_response, fault_response
from sixfold.serve.inference import Server
from sixfold.serve.limits import Headers


class BodyEndpoint(ABC):
    """An ASGI endpoint of its own, without the rounds through Starlette's routes. `takes`: the one content type, which is
    meant, too, where nothing is said; empty: whichever, as `answer` says.
    """

    takes: ClassVar[str] = ""

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def answer(self, body: bytes | bytearray, kind: str) -> ASGIApp:
        """To a whole body of the content type `kind`, in a thread of the gate. Raises SixfoldError."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in the form that its path has."""
        try:
            response = await self._response(dict(scope["headers"]), receive)
        except SixfoldError as error:
            response = error_response(error, scope["path"])
        except Exception:
            await fault_response(scope["path"])(scope, receive, send)
            raise  # for the log
        await response(scope, receive, send)

    async def _response(self, headers: Headers, receive: Receive) -> ASGIApp:
        gate, bodies = self.server.gate, self.server.bodies
        kind = headers.get(b"content-type", b"").decode("latin-1")
        said = kind.partition(";")[0].strip().lower()
        if self.takes and said not in ("", self.takes):
            raise Refusal(415, "Content-Type", self.takes, shown(said), "Set the header.")
        body = await bodies.read(headers, receive, gate.check_room)
        try:
            with gate.place():
                return await gate.work(lambda: self.answer(body, kind))
        finally:
            if type(body) is bytearray:  # a large one
                bodies.release(body)
