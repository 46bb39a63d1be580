"""The server process: a bundle, a socket, uvicorn; it ends well on SIGTERM, and ends in any
case.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from sixfold.bundle.load import Bundle, load
from sixfold.core.errors import SystemFault
from sixfold.serve.app import create
from sixfold.serve.connection import Connection
from sixfold.serve.connections import Connections, most_connections
from sixfold.serve.hosts import Hosts
from sixfold.serve.listener import Listener
from sixfold.serve.quiet_log import log_rarely
from sixfold.serve.settings import settings_of
from sixfold.serve.watched import App
from sixfold.telemetry import logs, traces
from sixfold.telemetry.requests import ObservedApp

STOP_S: Final = 25  # for requests in work after SIGTERM: within the 30 s that orchestrators give
STOP_WAIT_S: Final = (
    1.0  # for requests that are on their way on a connection that was kept alive; guessed
)
STOP_TICK_S: Final = 0.05
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 2048
TICKS: Final = 10  # of uvicorn's clock between two looks at all connections: a second


def say(text: str) -> None:
    """One line at once, for whoever waits for it at the other end of a pipe."""
    print(text, flush=True)


def serve(
    path: str | Path | Bundle,
    host: str | None = None,
    port: int | None = None,
    allow_hosts: Sequence[str] = (),
    trust_recipe: bool = False,
    allow: Collection[str] = (),
) -> None:
    """Answer for the bundle `path`, or one that is loaded, until SIGTERM or SIGINT; port 0: any.

    Left out, the host is 127.0.0.1 and the port the recipe's. Its limits count where they are below
    the defaults; with `trust_recipe` host and limits are the recipe's, whatever they are. What is
    not taken is said on stderr; the address is said once the socket listens. `allow_hosts`: names
    by which clients may ask, besides those of loopback and the address itself. `allow`: as in
    `load`. Raises BundleError or SystemFault.
    """
    bundle = path if isinstance(path, Bundle) else load(path, allow)
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings, refused = settings_of(bundle.recipe.serve, given, trust_recipe)
    app = create(bundle, settings, Hosts([*allow_hosts, settings.host]))
    app.server.warm()
    gc.collect()
    gc.freeze()  # what is there now stays: it is not looked through again and again while requests wait
    listening = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        ObservedApp(app) if logs.are_written() or traces.are_taken() else app,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None if logs.are_taken() else LOGGING_CONFIG,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    log_rarely("uvicorn.error", "asyncio")
    server = _Server(config, app)
    with listening, _ending_well(server):
        for line in refused:
            print(f"warning: {line}", file=sys.stderr, flush=True)
        say(f"{bundle.name} answers on {_address(listening)}  (try it: /   docs: /docs)")
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """The first signal lets requests in work end; the second one does not wait for them."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._gate = app.server.gate
        self.all = Connections(self.server_state.connections, most_connections())
        self._connection = partial(Connection, self.all)
        self.listeners: list[Listener] = []
        self.servers = []
        config.http = self._connection  # type: ignore[assignment]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn waits on a second SIGTERM."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; the sockets are those of `serve`."""
        if sys.platform == "win32":  # its event loop waits for no readable socket
            await super().startup(sockets)
            return
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.BaseProtocol:
            state = self.server_state
            return self._connection(
                config=self.config, server_state=state, app_state={}, _loop=loop
            )

        self.listeners = [Listener(listening, self.all, protocol) for listening in sockets or []]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % TICKS == 0:
            self.all.sweep(asyncio.get_running_loop().time())
        return bool(await super().on_tick(counter))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, answer what has been sent, close; requests still in work after STOP_S, or
        after a second signal, are given up: with the process, where threads work on them, which
        nothing can stop.
        """
        for listener in self.listeners:
            listener.close()
        for server in self.servers:
            server.close()
        self.all.stop()
        clock = asyncio.get_running_loop().time
        started = clock()
        while self._busy() and not self.force_exit and clock() - started < STOP_S:
            await asyncio.sleep(STOP_TICK_S)
            self.all.sweep(clock())
            if clock() - started > STOP_WAIT_S:
                self.all.end_waits()
        given_up = len(self.server_state.tasks)
        if given_up:
            logging.getLogger("uvicorn.error").warning(
                "Stopped with %s requests in work.", given_up
            )
        if self._gate.in_threads and threading.current_thread() is threading.main_thread():
            _end_process()
        for task in self.server_state.tasks:
            task.cancel()

    def _busy(self) -> bool:
        state = self.server_state
        return bool(
            state.connections or state.tasks or any(one.opening() for one in self.listeners)
        )


def _end_process() -> None:
    """Now: Python would wait for its threads at its end."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    logging.shutdown()
    os._exit(0)


@contextmanager
def _ending_well(server: _Server) -> Iterator[None]:
    """uvicorn raises the signal again after its end, which would kill the process: to end as asked
    is no failure. A signal before uvicorn listens to them ends the server as one after it does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, server.handle_exit) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        code = error.errno if isinstance(error, OSError) else None
        remedies = {
            errno.EADDRINUSE: "Stop the other server, or choose another port with --port.",
            errno.EACCES: "Choose a port above 1023 with --port.",
        }
        found = os.strerror(code) if code and code > 0 else str(error)
        raise SystemFault(
            f"{host}:{port}",
            "a free address",
            found,
            remedies.get(code or 0, "Choose another --host."),
        ) from None
    # create_server leaves the protocol at 0; asyncio sets TCP_NODELAY on what is accepted only
    # where it is that of TCP.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listening.detach())


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
