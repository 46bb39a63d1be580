"""uvicorn's server, which says when it listens, and whose end answers every request that was sent before it.

uvicorn closes the listening socket with connections in its queue, which resets them, and connections on which a request is on
its way. Here the queue is emptied first, what was sent is read, and each answer is the last of its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final

import uvicorn

SENT_S: Final = 0.3  # until what was sent has been read; guessed: a busy machine takes 0.1


class GracefulServer(uvicorn.Server):
    """One process, listening on sockets that it is given; `over` is set at its end, also of one that never listened."""

    def __init__(self, config: uvicorn.Config, over: threading.Event) -> None:
        super().__init__(config)
        self._over = over
        self._listens = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Until `should_exit`."""
        try:
            super().run(sockets)
        finally:
            self._over.set()
            self._listens.set()

    def wait_until_it_listens(self) -> bool:
        """For another thread; false when it ended instead. A connection before is refused."""
        while not self._listens.wait(0.5):  # a signal that comes as the wait begins wakes nobody
            pass
        return not self._over.is_set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, then whoever waits for it is told."""
        await super().startup(sockets)
        if self.started:
            self._listens.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more, answers what was sent, closes."""
        waiting = [one for listening in sockets or [] for one in _accepted(listening)]
        for server in self.servers:  # with nothing awaited in between: no connection comes too late
            server.close()
        last = (b"connection", b"close")
        self.server_state.default_headers = [*self.server_state.default_headers, last]
        loop = asyncio.get_running_loop()
        for one in waiting:
            await loop.connect_accepted_socket(self._protocol, one)
        await asyncio.sleep(SENT_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        state = self.lifespan.state
        return kind(config=self.config, server_state=self.server_state, app_state=state)  # type: ignore[call-arg]


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """All that wait in its queue."""
    found = []
    with contextlib.suppress(OSError):  # none is left
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            found.append(connection)
    return found
