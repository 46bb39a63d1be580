"""The front of every application: whom it answers, and how long each answer takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sixfold.serve.errors import Refusal, error_response
from sixfold.serve.hosts import Hosts
from sixfold.serve.limits import Gate
from sixfold.serve.metrics import Metrics


class Served(Protocol):
    """What is behind the routes, whatever the model answers."""

    @property
    def gate(self) -> Gate:
        """Places of requests."""

    @property
    def metrics(self) -> Metrics:
        """Figures of all routes."""

    def warm(self) -> None:
        """Ready for the first request."""


class App:
    """Requests for predictions at once, all others by Starlette's routes; every one is counted and
    timed.

    `known`: the paths that have figures of their own; all others share the route `other`. `hosts`:
    whom it answers.
    """

    def __init__(
        self, server: Served, inferences: Mapping[str, ASGIApp], others: Starlette, hosts: Hosts
    ) -> None:
        self.server, self._inferences, self._others, self._hosts = server, inferences, others, hosts
        self._known = frozenset(route.path for route in others.routes if isinstance(route, Route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        metrics, path, status = self.server.metrics, scope["path"], 500
        app: ASGIApp = (
            self._inferences.get(path) if scope["method"] == "POST" else None
        ) or self._others
        started = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.in_flight += 1
        try:
            self._hosts.check(scope)
            await app(scope, receive, watch)
        except Refusal as refusal:  # of the head alone: whatever follows it is not read
            refusal.unread = True
            await error_response(refusal, path)(scope, receive, watch)
        finally:
            metrics.in_flight -= 1
            metrics.answered(
                path if path in self._known else "other", status, time.perf_counter() - started
            )
