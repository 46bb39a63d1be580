"""Accepting connections: as many as there are places for, and without a word in the log for each
that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final

from sixfold.serve.connections import Connections

AT_ONCE: Final = 16  # connections accepted before others get their turn
PAUSE_S: Final = 0.1  # after an error that would come again at once: no descriptors, no memory
GONE: Final = (
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.EPERM,
)  # the client's end, before it was accepted

# Linux: a filter of packets for a socket (asm-generic/socket.h), here one that takes nothing of any.
SO_ATTACH_FILTER: Final = 26
RETURN_NOTHING: Final = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF: RET #0

logger = logging.getLogger("uvicorn.error")


class Listener:
    """A socket that listens, in place of asyncio's server: that one accepts all that wait before it
    asks how many there are, and writes a traceback for every one that it has no descriptor for.
    """

    def __init__(
        self,
        listening: socket.socket,
        connections: Connections,
        protocol: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self._socket, self._connections, self._protocol = listening, connections, protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._ready)

    def opening(self) -> bool:
        """Whether connections were accepted that are not among the others yet."""
        return bool(self._opening)

    def close(self) -> None:
        """Accept what waits, and listen no more."""
        self._loop.remove_reader(self._socket)
        _take_no_more(self._socket)
        while self._accept_one():
            pass
        self._socket.close()

    async def wait_closed(self) -> None:
        """uvicorn's: at once."""

    def _ready(self) -> None:
        for _ in range(AT_ONCE):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Whether there may be one more."""
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            return error.errno in GONE or self._pause(error)
        if not self._connections.make_room(len(self._opening)):
            accepted.close()
            return True
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._open(accepted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, accepted)
        except OSError:  # closed meanwhile
            accepted.close()

    def _pause(self, error: OSError) -> bool:
        """Nothing is accepted for a moment, in which one of the others makes room."""
        logger.warning("Connections are not accepted: %s", error)
        self._loop.remove_reader(self._socket)
        self._connections.make_room()
        self._loop.call_later(PAUSE_S, self._resume)
        return False

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._ready)


def _take_no_more(listening: socket.socket) -> None:
    """Whoever connects between the last one that is accepted and the end of the socket would be reset
    with a request on its way. Where the system can, it is not answered before, and refused after.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(RETURN_NOTHING, len(RETURN_NOTHING))
    program = struct.pack("HP", 1, ctypes.addressof(code))
    with contextlib.suppress(OSError):  # a sandbox that forbids it
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
