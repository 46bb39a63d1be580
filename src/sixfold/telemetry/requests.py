"""A request over HTTP, from its head to the end of its answer: its id, its line in the log, its span."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sixfold.telemetry import logs, traces
from sixfold.telemetry.traces import NoSpan, TraceSpan

REQUEST_ID: Final = b"x-request-id"
CARRIERS: Final = frozenset({b"traceparent", b"tracestate"})
GIVEN: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NOT_ANSWERED: Final = 499  # in logs and traces: the client went away before
FAULT: Final = 500
Headers = Sequence[tuple[bytes, bytes]]
# What machines ask every second: without a span, and without a line unless it fails.
POLLED: Final = re.compile(r"/(livez|readyz|metrics)|/api/v1/workers/[^/]+/(claim|jobs/[^/]+/beat)")


@dataclass
class ObservedRequest:
    """`id`: what the client sent as X-Request-Id, or a new one. `send`: with which the answer goes out, its id and `extra` with
    it.
    """

    scope: Scope
    inner: Send
    id: str
    extra: Headers = ()
    status: int = 0
    began: float = field(default_factory=time.perf_counter)

    async def send(self, message: Message) -> None:
        """An ASGI message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (REQUEST_ID, self.id.encode()), *self.extra]
            message = {**message, "headers": headers}
        await self.inner(message)

    def ended(self, span: TraceSpan) -> None:
        """Its line, and the rest of its span."""
        method, path = self.scope["method"], self.scope["path"]
        status = self.status or NOT_ANSWERED
        if status < 400 and POLLED.fullmatch(path):
            return
        level = logging.ERROR if status >= FAULT else logging.INFO
        seconds = time.perf_counter() - self.began
        logs.event("request", level, method=method, path=path, status=status, duration_s=seconds)
        if traces.are_taken():
            self._told(span, status)

    def _told(self, span: TraceSpan, status: int) -> None:
        route = self.scope.get("route")
        if route is not None:
            span.rename(f"{self.scope['method']} {route.path}")
            span.set("http.route", route.path)
        span.set("http.response.status_code", status)
        span.set("sixfold.request_id", self.id)
        for name in ("tenant", "deployment", "version", "job_id"):
            value = logs.noted(name)
            if value is not None:
                span.set(f"sixfold.{name}", value)
        if status >= FAULT:
            span.fail(str(status))


@contextmanager
def observed(scope: Scope, send: Send, extra: Headers = ()) -> Iterator[ObservedRequest]:
    """All that is told within belongs to this request. `extra`: headers of its answer."""
    one = ObservedRequest(scope, send, _id(scope), extra)
    scope.setdefault("state", {})["request_id"] = one.id
    with logs.about(request_id=one.id), _span(scope) as span:
        try:
            yield one
        except Exception:
            one.status = one.status or FAULT
            raise
        finally:
            one.ended(span)


class ObservedApp:
    """An ASGI application whose requests are observed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with observed(scope, send) as one:
            await self.app(scope, receive, one.send)


def _id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and GIVEN.fullmatch(value):
            return str(value, "ascii")
    return f"req-{secrets.token_hex(12)}"


def _span(scope: Scope) -> AbstractContextManager[TraceSpan]:
    if not traces.are_taken() or POLLED.fullmatch(scope["path"]):
        return nullcontext(NoSpan())
    return _server_span(scope)


@contextmanager
def _server_span(scope: Scope) -> Iterator[TraceSpan]:
    carried = {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in CARRIERS
    }
    with traces.span(scope["method"], traces.SERVER, carried) as span:
        span.set("http.request.method", scope["method"])
        span.set("url.path", scope["path"])
        yield span
