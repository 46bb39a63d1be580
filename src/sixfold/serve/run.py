"""The server process: a bundle, a socket, uvicorn; it ends well on SIGTERM."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from sixfold.bundle.load import load
from sixfold.core.errors import SystemFault
from sixfold.serve.app import create
from sixfold.serve.one_write import JoinedProtocol
from sixfold.serve.settings import settings_of

STOP_S: Final = 25  # for requests in work after SIGTERM: within the 30 s that orchestrators give
KEEP_ALIVE_S: Final = 15
BACKLOG: Final = 2048


def say(text: str) -> None:
    """One line at once, for whoever waits for it at the other end of a pipe."""
    print(text, flush=True)


def serve(
    path: str | Path, host: str | None = None, port: int | None = None, announce: Callable[[str], None] = say,
    trust_recipe: bool = False,
) -> None:  # fmt: skip
    """Answer for the bundle `path` until SIGTERM or SIGINT; port 0: any.

    Left out, the host is 127.0.0.1 and the port the recipe's. Its limits count where they are below the defaults; with
    `trust_recipe` host and limits are the recipe's, whatever they are. What is not taken is said on stderr; `announce` is told
    the address once the socket listens. Raises BundleError or SystemFault.
    """
    bundle = load(path)
    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings, refused = settings_of(bundle.recipe.serve, given, trust_recipe)
    app = create(bundle, settings)
    app.server.warm()
    gc.collect()
    gc.freeze()  # what is there now stays: it is not looked through again and again while requests wait
    listening = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        app, http=JoinedProtocol, ws="none", interface="asgi3", lifespan="off", log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=STOP_S, timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip
    with listening:
        for line in refused:
            print(f"warning: {line}", file=sys.stderr, flush=True)
        announce(f"{bundle.name} answers on {_address(listening)}  (try it: /   docs: /docs)")
        with _ending_well():
            _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """The first signal lets requests in work end; the second one does not wait for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn waits on a second SIGTERM."""
        self.force_exit = self.should_exit
        self.should_exit = True


@contextmanager
def _ending_well() -> Iterator[None]:
    """uvicorn raises the signal again after its end, which would kill the process: to end as asked is no failure."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in signals]
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
            f"{host}:{port}", "a free address", found, remedies.get(code or 0, "Choose another --host.")
        ) from None
    # create_server leaves the protocol at 0; asyncio sets TCP_NODELAY on what is accepted only where it is that of TCP.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listening.detach())


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
