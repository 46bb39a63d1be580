"""The first hop of every request: by which name it asks, its id, and whether the gateway or the API answers it.

/models/NAME/…            the deployment NAME: the path behind it goes to its replica
/v1/chat/completions …    the deployment or model that the body's `model` names
everything else           the API
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold.core.errors import SixfoldError
from sixfold.serve.hosts import Hosts
from sixfold.service.domain.errors import InvalidRequest, ServiceError, Unauthenticated, Unavailable
from sixfold.service.domain.people import Principal
from sixfold.service.domain.people import Scope as KeyScope
from sixfold.service.gateway import browser
from sixfold.service.gateway.gateway import DeploymentRoute, Gateway
from sixfold.service.gateway.key_cache import KeyCache
from sixfold.service.gateway.pool import VersionPool
from sixfold.service.gateway.wire import Headers, ReplicaGone

INFERENCE: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})
PASSED: Final = frozenset({b"content-type", b"accept", b"accept-encoding", b"user-agent"})
MOST_BODY: Final = 64 << 20
TRIES: Final = 2  # a replica that died before it answered: the request goes to another one


@dataclass
class FrontDoor:
    """An ASGI application. `problem`: writes an error as the API does."""

    api: ASGIApp
    gateway: Gateway
    keys: KeyCache
    hosts: Hosts
    problem: Any
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        request_id = f"req-{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        sent = _with_headers(send, request_id)
        try:
            self.hosts.check(scope)
            path = scope["path"]
            if path.startswith("/models/") or path in INFERENCE:
                await self._forward(scope, receive, sent)
            else:
                await self.api(scope, receive, sent)
        except SixfoldError as error:
            await self.problem(scope, error)(scope, receive, sent)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = await self._principal(scope)
        who.require(KeyScope.PREDICT)
        body = await _body(receive)
        path = scope["path"]
        if path in INFERENCE:
            name, target = _named_model(body), path.encode()
        else:
            name, _, rest = path.removeprefix("/models/").partition("/")
            target = b"/" + rest.encode()
        query = scope["query_string"]
        target = target + b"?" + query if query else target
        route = await self.gateway.route(who.tenant_id, unquote(name))
        await self._answer(
            route, scope, _Asked(scope["method"], target, _passed(scope), body), send
        )

    async def _principal(self, scope: Scope) -> Principal:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, key = header.decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not key:
            who = await self._of_browser(Request(scope))
            if who is not None:
                return who
            raise Unauthenticated(
                "the Authorization header",
                "Bearer and a key",
                "none",
                "Send: Authorization: Bearer sf_…",
            )
        known = self.keys.remembered(key.strip())
        if known is not None:
            return known
        return await asyncio.to_thread(self.keys.look_up, key.strip())

    async def _of_browser(self, request: Request) -> Principal | None:
        sent = request.headers.get(browser.FORM_HEADER, "")
        return await asyncio.to_thread(
            browser.principal, self.gateway.service, request.method, request.cookies, sent
        )

    async def _answer(
        self, route: DeploymentRoute, scope: Scope, asked: _Asked, send: Send
    ) -> None:
        shadow = route.deployment.shadow
        if shadow is not None and shadow in route.pools:
            task = asyncio.create_task(_heard_by_nobody(route.pools[shadow], asked))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        version_id = route.chosen()
        pool, started, status = route.pools[version_id], time.perf_counter(), 503
        try:
            for attempt in range(TRIES):
                async with pool.replica() as chosen:
                    try:
                        answer = await chosen.wire.ask(
                            asked.method, asked.target, asked.headers, asked.body
                        )
                    except ReplicaGone as error:
                        if attempt + 1 == TRIES:
                            raise _gone(str(error)) from error
                        await asyncio.sleep(random.uniform(0.0, 0.05))
                        continue
                    status = answer.status
                    await send(
                        {"type": "http.response.start", "status": status, "headers": answer.headers}
                    )
                    async with contextlib.aclosing(answer.body) as blocks:  # type: ignore[type-var]
                        async for block in blocks:
                            await send(
                                {"type": "http.response.body", "body": block, "more_body": True}
                            )
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
        except ServiceError as error:
            status = error.status
            raise
        finally:
            route.count(version_id, status, time.perf_counter() - started)


@dataclass(frozen=True)
class _Asked:
    """A request on its way to a replica."""

    method: str
    target: bytes
    headers: Headers
    body: bytes


async def _heard_by_nobody(pool: VersionPool, asked: _Asked) -> None:
    """A shadow's answer is read and dropped."""
    with contextlib.suppress(ReplicaGone, Unavailable):
        async with pool.replica() as chosen:
            answer = await chosen.wire.ask(asked.method, asked.target, asked.headers, asked.body)
            async for _ in answer.body:
                pass


async def _body(receive: Receive) -> bytes:
    return b"".join([block async for block in _blocks(receive)])


async def _blocks(receive: Receive) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest(
                "the body", "a whole one", "one that ended early", "Send it again."
            )
        block = message.get("body", b"")
        size += len(block)
        if size > MOST_BODY:
            raise InvalidRequest(
                "the body", f"at most {MOST_BODY:,} bytes", "more", "Send fewer rows."
            )
        yield block
        if not message.get("more_body"):
            return


def _named_model(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body", "JSON", "something else", "Send a JSON object.") from None
    name = value.get("model") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequest("model", "the name of a model", repr(name)[:80], "List the models.")
    return name


def _passed(scope: Scope) -> Headers:
    return [one for one in scope["headers"] if one[0] in PASSED]


def _with_headers(send: Send, request_id: str) -> Send:
    extra = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sent


def _gone(why: str) -> Unavailable:
    return Unavailable("the replica", "an answer", why or "none", "Ask again.")
