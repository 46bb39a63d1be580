"""One kind of request, from its body to its answer: whole, or as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import anyio
import anyio.to_thread
from starlette.types import Message, Receive, Scope, Send

from sixfold.bundle.frontend import shorten, shown
from sixfold.core.errors import RowError, SixfoldError
from sixfold.recipe.chat_template import ChatTemplateError
from sixfold.recipe.serving import Serve
from sixfold.serve.bodies import Bodies
from sixfold.serve.body import JSON_TYPES, read_json
from sixfold.serve.connection import ON_LEFT
from sixfold.serve.errors import (
    JsonAnswer,
    ParameterRefusal,
    Refusal,
    error_content,
    error_response,
    fault_response,
    to_json,
)
from sixfold.serve.language.figures import TokenFigures
from sixfold.serve.language.generating import Generating, check_room, places
from sixfold.serve.language.parameters import WantedAnswers
from sixfold.serve.language.shapes import Shapes
from sixfold.serve.limits import SMALL_BODY, Gate, Headers
from sixfold.serve.metrics import Metrics

if TYPE_CHECKING:
    from sixfold.bundle.language.model import LanguageRuntime
    from sixfold.bundle.language.tokens import LanguageTokens

EVENTS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
DONE: Final = b"data: [DONE]\n\n"
LEFT: Final = 499  # nginx' status for a client that closed the connection
T = TypeVar("T")


class LanguageServer(NamedTuple):
    """What all routes of a language model share. `name`: of the model."""

    name: str
    model: LanguageRuntime
    gate: Gate
    bodies: Bodies
    metrics: Metrics
    figures: TokenFigures
    settings: Serve

    def warm(self) -> None:
        """Open the model."""
        self.model.start(self.settings.concurrency, self.settings.threads)


class RequestKind(Protocol):
    """What tells two endpoints apart."""

    def wanted(self, body: Any, tokens: LanguageTokens) -> WantedAnswers:
        """What the body asks for. Raises ParameterRefusal."""

    def shapes(self, wanted: WantedAnswers, tokens: LanguageTokens, model: str) -> Shapes:
        """The form of its answers."""


class _Sending:
    """What was sent of an answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        """An ASGI `send`."""
        self.started = self.started or message["type"] == "http.response.start"
        await self._send(message)

    async def give_up(self, scope: Scope, receive: Receive) -> None:
        """End the answer to a client that left, whom it does not reach."""
        if self.started:
            await self._send({"type": "http.response.body", "body": b""})
            return
        gone = Refusal(LEFT, "the connection", "an open one", "a closed one", "Stay.")
        await error_response(gone, scope["path"])(scope, receive, self._send)


class Endpoint:
    """An ASGI endpoint. A client that leaves ends the work on its request. One answer is explained at a time."""

    def __init__(self, server: LanguageServer, kind: RequestKind) -> None:
        self._server, self._kind = server, kind
        self._one = anyio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in OpenAI's form."""
        answer = _Sending(send)
        try:
            wanted = await self._wanted(dict(scope["headers"]), receive)
            shapes = self._kind.shapes(wanted, self._server.model.tokens, self._server.name)
            with places(self._server.gate, len(wanted.prompts) * wanted.choices):
                generating = Generating(self._server.model, wanted, self._server.figures)
                work = self._answer(generating, shapes, answer)
                if not await _until_left(work, scope, receive):
                    generating.left()
                    await answer.give_up(scope, receive)
                elif not answer.started:
                    told = {"explanation": generating.explanation}
                    content = shapes.whole(generating) | (told if wanted.explanation else {})
                    await JsonAnswer(to_json(content).encode())(scope, receive, answer)
        except SixfoldError as error:
            await error_response(_refusal(error), scope["path"])(scope, receive, answer)
        except Exception:
            if not answer.started:
                await fault_response(scope["path"])(scope, receive, answer)
            raise  # for the log

    async def _wanted(self, headers: Headers, receive: Receive) -> WantedAnswers:
        tokens = self._server.model.tokens
        return await read_body(
            self._server, headers, receive, lambda body: self._kind.wanted(body, tokens)
        )

    async def _answer(self, generating: Generating, shapes: Shapes, send: Send) -> None:
        """Send a stream; of another request all is generated, and nothing sent."""
        if generating.wanted.stream:
            await _stream(generating, shapes, send)
            return
        async with aclosing(generating.texts()) as texts:
            async for _ in texts:
                pass
        if generating.wanted.explanation is not None:
            await anyio.to_thread.run_sync(generating.explain, limiter=self._one)


async def read_body(
    server: LanguageServer, headers: Headers, receive: Receive, read: Callable[[Any], T]
) -> T:
    """What `read` makes of the JSON of a request for the model that is served; of a large one in a
    thread. Raises Refusal 400, 404, 408, 413, 415 or 429, and what `read` raises.
    """

    def work() -> T:
        body = read_json(content)
        check_model(body, server.name)
        return read(body)

    content = await server.bodies.read(headers, receive, lambda: check_room(server.gate))
    try:
        kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip()
        if kind.lower() not in JSON_TYPES:
            remedy = "Set the header."
            raise Refusal(415, "Content-Type", "application/json", shorten(kind), remedy)
        return work() if len(content) <= SMALL_BODY else await anyio.to_thread.run_sync(work)
    finally:
        if isinstance(content, bytearray):
            server.bodies.release(content)


def check_model(body: Any, name: str) -> None:
    """Raises Refusal 404 for another model than `name`."""
    asked = body.get("model") if isinstance(body, dict) else None
    if asked != name and isinstance(body, dict):
        if not isinstance(asked, str):
            raise ParameterRefusal("model", f"'{name}'", shown(asked), "Name it.", "invalid_value")
        raise no_model(asked, name)


def no_model(asked: str, name: str) -> Refusal:
    """404."""
    return Refusal(404, "model", f"'{name}'", shown(asked), "GET /v1/models lists what is served.")


async def _stream(generating: Generating, shapes: Shapes, send: Send) -> None:
    """Every chunk as an event. What goes wrong after the head is an event, too."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    for chunk in shapes.first(generating):
        await _event(send, to_json(chunk))
    try:
        async with aclosing(generating.texts()) as texts:
            async for choice, new in texts:
                for chunk in shapes.chunk(choice, new):
                    await _event(send, to_json(chunk))
    except SixfoldError as error:
        await _event(send, to_json(error_content(_refusal(error), "/v1/")), more=False)
        return
    for chunk in shapes.last(generating):
        await _event(send, to_json(chunk))
    await send({"type": "http.response.body", "body": DONE})


async def _event(send: Send, text: str, more: bool = True) -> None:
    body = b"data: " + text.encode() + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_left(work: Coroutine[Any, Any, None], scope: Scope, receive: Receive) -> bool:
    """Do the work; False: the client left before its end."""
    task = asyncio.ensure_future(work)
    scope[ON_LEFT] = task.cancel
    watch = asyncio.ensure_future(_left(receive, task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        return False
    finally:
        watch.cancel()
        scope.pop(ON_LEFT, None)
    return True


async def _left(receive: Receive, tell: Callable[[], object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    tell()


def _refusal(error: SixfoldError) -> SixfoldError:
    """What a request caused is a 400."""
    if isinstance(error, ChatTemplateError):
        return ParameterRefusal(
            "messages", error.expected, error.found, error.remedy, "invalid_value"
        )
    if isinstance(error, RowError):
        return Refusal(400, error.where, error.expected, error.found, error.remedy)
    return error
