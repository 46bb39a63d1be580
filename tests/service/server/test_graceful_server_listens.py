"""Whoever waits for a server is let through once a connection is taken, or once it ended without."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from sixfold.service.graceful_server import GracefulServer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def slow_start(fails: bool) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await asyncio.sleep(0.3)
        if fails:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


@pytest.mark.parametrize("fails", [False, True])
def test_a_connection_is_taken_once_it_is_said(fails: bool) -> None:
    config = uvicorn.Config(slow_start(fails), port=0, log_level="critical", lifespan="on")
    bound = config.bind_socket()
    over = threading.Event()
    server = GracefulServer(config, over)

    def run() -> None:
        with suppress(SystemExit):  # uvicorn's answer to a start that failed
            server.run([bound])

    serving = threading.Thread(target=run)
    with pytest.raises(ConnectionRefusedError):  # bound is not yet listening
        socket.create_connection(bound.getsockname()).close()
    serving.start()
    assert server.wait_until_it_listens() is not fails
    if not fails:
        socket.create_connection(bound.getsockname()).close()
    server.should_exit = True
    serving.join()
    assert over.is_set()
    bound.close()
