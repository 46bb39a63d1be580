"""The application before a client without a socket: scopes as a server gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service_worlds import World
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from sixfold.service.api.app import create


@contextmanager
def http_client(here: World, home: Path, key: str | None = None) -> Iterator[TestClient]:
    """With the operator's key, unless another is given; "" for none. A mistake of the server is an answer of 500."""
    app = create(here.service, home)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("server"):
            scope = {**scope, "server": tuple(scope["server"])}
        await app(scope, receive, send)

    key = here.key if key is None else key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with TestClient(
        asked,
        base_url="http://127.0.0.1",
        headers=headers,
        follow_redirects=False,
        raise_server_exceptions=False,
    ) as client:
        yield client
