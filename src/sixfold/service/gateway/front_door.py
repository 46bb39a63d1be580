"""The first hop of every request: by which name it asks, its id, and whether the gateway or the API answers it.

/models/NAME/…            the deployment NAME: the path behind it goes to its replica
/v1/chat/completions …    the deployment or model that the body's `model` names, in JSON or in a form
everything else           the API
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold import __version__
from sixfold.core.errors import SixfoldError
from sixfold.serve.errors import Refusal
from sixfold.serve.hosts import Hosts
from sixfold.serve.multipart import FORM, boundary_of, parts
from sixfold.service.domain.errors import (
    VERSION_HEADER,
    InvalidRequest,
    ServiceError,
    Unauthenticated,
    Unavailable,
)
from sixfold.service.domain.people import Principal
from sixfold.service.domain.people import Scope as KeyScope
from sixfold.service.gateway import browser
from sixfold.service.gateway.batching import PoolClosed
from sixfold.service.gateway.bodies import HeldBodies
from sixfold.service.gateway.client_watch import ClientWatch
from sixfold.service.gateway.exchange import CLIENT_GONE, KEPT, Exchange
from sixfold.service.gateway.gateway import DeploymentRoute, Gateway
from sixfold.service.gateway.key_cache import KeyCache
from sixfold.service.gateway.limits import TenantBuckets, TenantLimits
from sixfold.service.gateway.pool import VersionPool
from sixfold.service.gateway.records import GatewayRecords
from sixfold.service.gateway.wire import Headers, ReplicaAnswer, ReplicaGone, ReplicaRequest
from sixfold.telemetry import logs, traces
from sixfold.telemetry.requests import REQUEST_ID, observed

INFERENCE: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/audio/transcriptions",
    }
)
MODELS: Final = b"/models/"
COMPARED: Final = frozenset(
    {b"/predict", b"/recommend"}
)  # answers of a shadow, with those that were given
ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (VERSION_HEADER.lower().encode(), __version__.encode()),
)
PASSED: Final = frozenset({b"content-type", b"accept", b"accept-encoding"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
TRIES: Final = 3  # a replica that died before it answered: the request goes to another one
MOST_SHADOWS: Final = 64  # requests of shadows at once; further ones are left out
_VISIBLE: Final = re.compile(
    rb"[!-~]*"
)  # no space and no line end: nothing that ends a request line


@dataclass
class FrontDoor:
    """An ASGI application. `problem`: writes an error as the API does."""

    api: ASGIApp
    gateway: Gateway
    keys: KeyCache
    hosts: Hosts
    problem: Any
    records: GatewayRecords
    bodies: HeldBodies = field(default_factory=HeldBodies)
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.limits = TenantLimits(self.gateway.service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        with observed(scope, send, ALWAYS) as one:
            try:
                self.hosts.check(scope)
                if scope["raw_path"].startswith(MODELS) or scope["path"] in INFERENCE:
                    await self._forward(scope, receive, one.send, one.id)
                else:
                    await self.api(scope, receive, one.send)
            except SixfoldError as error:
                await self.problem(scope, error)(scope, receive, one.send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        figures = self.records.figures
        figures.in_flight += 1
        try:
            who = await self._principal(scope)
            logs.note(tenant=who.tenant_id, key_id=who.key_id)
            who.require(KeyScope.PREDICT)
            buckets = await self.limits.buckets(who.tenant_id)
            buckets.enter(time.monotonic())
            async with self.bodies.held(scope, receive) as body:
                with traces.span("predict", traces.CLIENT):
                    name, asked = _asked(scope, body, request_id)
                    exchange = Exchange(request_id, who, name, asked)
                    await self._answered(exchange, buckets, ClientWatch(scope, receive), send)
        except (ServiceError, Refusal) as error:
            code = error.code if isinstance(error, ServiceError) else str(error.status)
            figures.refused[code] += 1
            raise
        finally:
            figures.in_flight -= 1

    async def _principal(self, scope: Scope) -> Principal:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, key = sent.decode("latin-1").partition(" ")
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
        return await self.keys.principal(key.strip())

    async def _of_browser(self, request: Request) -> Principal | None:
        """With a form's token whatever is asked: no page of a replica is opened with the console's session."""
        sent = request.headers.get(browser.FORM_HEADER, "")
        service = self.gateway.service
        return await asyncio.to_thread(browser.principal, service, request.cookies, sent, False)

    async def _answered(
        self, one: Exchange, buckets: TenantBuckets, watch: ClientWatch, send: Send
    ) -> None:
        """By the replica, or until the client is gone; then it is counted."""
        route, given = None, asyncio.get_running_loop().create_future()
        try:
            route = await self.gateway.route(one.who.tenant_id, one.name, one.of_model)
            self._shadow(route, one.asked, given)
            route = await self._tried(one, route, send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not watch.left or task is None:
                raise
            task.uncancel()
            one.status = CLIENT_GONE
        except SixfoldError as error:
            one.status = error.status if isinstance(error, ServiceError | Refusal) else 500
            raise
        except ReplicaGone:
            one.status = 502  # in the middle of its answer: the connection is cut
            raise
        finally:
            watch.end()
            logs.note(deployment=one.name, version=one.version_id)
            given.set_result(one.answer if one.whole and one.status == 200 else b"")
            if route is not None:
                self.records.answered(one, route, buckets)

    async def _tried(self, one: Exchange, route: DeploymentRoute, send: Send) -> DeploymentRoute:
        """By a replica of the version that is chosen; by another one, where it died before it answered."""
        why = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0.02, 0.1))
                route = await self.gateway.route(one.who.tenant_id, one.name, one.of_model)
            one.version_id = route.chosen()
            started, status = time.perf_counter(), 503
            try:
                await self._by(route.pools[one.version_id], one, send)
                status = one.status
                return route
            except PoolClosed:
                status = 0  # another pool answers by now: no fault of the version
            except ReplicaGone as error:
                if one.begun:
                    raise
                why = str(error)
            except asyncio.CancelledError:
                status = 0
                raise
            finally:
                if status:
                    route.count(one.version_id, status, time.perf_counter() - started)
        raise Unavailable("the replica", "an answer", why or "none", "Ask again.")

    async def _by(self, pool: VersionPool, one: Exchange, send: Send) -> None:
        together = await pool.ask_together(one.asked)
        if together is not None:
            status, headers, body = together
            await _send_whole(one, status, headers, body, send)
            return
        async with pool.replica() as chosen:
            answer = await chosen.wire.ask(one.asked)
            if answer.length is not None and answer.length <= KEPT:
                body = await answer.whole()
                await _send_whole(one, answer.status, answer.headers, body, send)
                return
            await _relay(one, answer, send)

    def _shadow(
        self, route: DeploymentRoute, asked: ReplicaRequest, given: asyncio.Future[bytes]
    ) -> None:
        shadow = route.deployment.shadow
        if shadow is None or shadow not in route.pools or len(self._shadows) >= MOST_SHADOWS:
            return
        task = asyncio.create_task(_heard_by_nobody(route, shadow, asked, given))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)


async def _send_whole(
    one: Exchange, status: int, headers: Headers, body: bytes, send: Send
) -> None:
    one.status, one.begun = status, True
    one.keep(body)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _relay(one: Exchange, answer: ReplicaAnswer, send: Send) -> None:
    """As it comes. Whatever ends this before the answer's end closes the replica's connection, and so its work."""
    done = False
    try:
        one.status, one.begun = answer.status, True
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        )
        async with contextlib.aclosing(answer.blocks()) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                one.keep(block)
                await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        done = True
    finally:
        if not done:
            answer.close()


async def _heard_by_nobody(
    route: DeploymentRoute, shadow: str, asked: ReplicaRequest, given: asyncio.Future[bytes]
) -> None:
    """A shadow's answer is read, counted, compared with the one that was `given`, and dropped."""
    started, status, heard = time.perf_counter(), 503, b""
    with contextlib.suppress(ReplicaGone, Unavailable, PoolClosed):
        async with route.pools[shadow].replica() as chosen:
            answer = await chosen.wire.ask(asked)
            try:
                async for block in answer.blocks():
                    heard = heard + block if len(heard) + len(block) <= KEPT else heard
                status = answer.status
            except BaseException:
                answer.close()
                raise
    route.count(shadow, status, time.perf_counter() - started)
    if status == 200 and asked.target in COMPARED:
        route.shadow.sample(await given, heard)


def _asked(scope: Scope, body: bytes, request_id: str) -> tuple[str, ReplicaRequest]:
    """The name that is asked, and what its replica is asked, with the request's id and trace. Raises InvalidRequest."""
    method, raw, query = scope["method"], scope["raw_path"], scope["query_string"]
    if method not in METHODS:
        raise InvalidRequest(
            "the method", ", ".join(sorted(METHODS)), repr(method[:20]), "Send POST."
        )
    if scope["path"] in INFERENCE:
        name, target = _named_model(scope, body), scope["path"].encode()
    else:
        quoted, _, rest = raw[len(MODELS) :].partition(b"/")
        name, target = unquote(quoted.decode("latin-1")), b"/" + rest
    if query:
        target += b"?" + query
    if not _VISIBLE.fullmatch(target):
        raise InvalidRequest("the path", "percent-encoded", "other bytes", "Encode it.")
    passed = [one for one in scope["headers"] if one[0] in PASSED]
    passed.append((REQUEST_ID, request_id.encode()))
    passed += [(header.encode(), value.encode()) for header, value in traces.headers().items()]
    return name, ReplicaRequest(method, target, passed, body)


def _named_model(scope: Scope, body: bytes) -> str:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.partition(b";")[0].strip().lower() == FORM.encode():
        return _name_of_form(body, kind.decode("latin-1"))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body", "JSON", "something else", "Send a JSON object.") from None
    name = value.get("model") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise _no_name(repr(name)[:80])
    return name


def _name_of_form(body: bytes, kind: str) -> str:
    """Raises InvalidRequest, and Refusal for a body that is no form."""
    named = [part.content for part in parts(body, boundary_of(kind)) if part.name == "model"]
    if len(named) != 1 or not named[0]:
        raise _no_name(f"{len(named)} of them" if named else "none")
    return named[0].decode("utf-8", "replace")


def _no_name(found: str) -> InvalidRequest:
    return InvalidRequest("model", "the name of a model", found, "List the models.")
