"""All connections of a server: how many there may be, how long each may take, and which one goes
where there is no room.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from sixfold.serve.one_write import JoinedTransport

if sys.platform != "win32":
    import resource

MOST: Final = 1000  # connections; guessed
RESERVED: Final = 64  # file descriptors that connections never take
LEAST: Final = 8
LIMITS_S: Final = (
    2.0,
    15.0,
    60.0,
    math.inf,
)  # by phase, without anything happening; a body's own clock is shorter
UNSENT_S: Final = 60.0  # that a client may take nothing of an answer
MOST_UNSENT: Final = 16 << 20  # bytes of answers that clients are slow to take, all together


class WatchedConnection(Protocol):
    """A connection, as far as it is looked at here."""

    seen: tuple[Any, ...]
    since: float
    joined: JoinedTransport

    def phase(self) -> int:
        """From 0, which goes first, to 3, which stays."""

    def state(self) -> tuple[Any, ...]:
        """Another one, whenever something has happened."""

    def drop(self) -> None:
        """Close at once."""

    def shutdown(self) -> None:
        """The next answer is the last."""

    def end_wait(self) -> None:
        """Close where no request is under way."""


def most_connections() -> int:
    """As many as the descriptors that are left allow."""
    if sys.platform == "win32":
        return MOST
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft in (resource.RLIM_INFINITY, -1):
        return MOST
    return max(LEAST, min(MOST, soft - _open_files() - RESERVED))


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return len(os.listdir(folder))  # noqa: PTH208 - the names alone
    return RESERVED


class Connections:
    """The connections in `members`, which uvicorn keeps."""

    def __init__(self, members: Iterable[Any], most: int) -> None:
        self.members: Iterable[WatchedConnection] = members
        self.most = most
        self.stopping = False
        self._slow: list[JoinedTransport] = []

    def make_room(self, opening: int = 0) -> bool:
        """Where all places are taken, close the one that has waited for its client for longest.
        False: none does.

        `opening`: connections that are not among the members yet.
        """
        members = [one for one in self.members if not one.joined.gone]
        if len(members) + opening < self.most:
            return True
        waiting = [one for one in members if one.phase() < 3]
        if not waiting:
            return False
        min(waiting, key=lambda one: (one.phase() != 0, one.since)).drop()
        return True

    def sweep(self, now: float) -> None:
        """Close those on which nothing has happened for too long: half a head, an answer that is
        not taken.
        """
        for one in tuple(self.members):
            state = one.state()
            if state != one.seen:
                if (
                    one.seen or state[0] != 1
                ):  # the clock of the first head runs since the connection was made
                    one.since = now
                one.seen = state
            elif now - one.since > (UNSENT_S if one.joined.unsent() else LIMITS_S[state[0]]):
                one.drop()

    def stop(self) -> None:
        """From now on every answer is the last of its connection."""
        self.stopping = True
        for one in tuple(self.members):
            one.shutdown()

    def end_waits(self) -> None:
        """Close those on which no request is under way."""
        for one in tuple(self.members):
            one.end_wait()

    def long_answer(self, transport: JoinedTransport) -> None:
        """A long answer was written: those that nobody takes are dropped, the oldest first, where
        they hold too much.
        """
        self._slow = [one for one in self._slow if one.unsent() and one is not transport]
        held = sum(one.unsent() for one in self._slow) + transport.unsent()
        while held > MOST_UNSENT and self._slow:
            oldest = self._slow.pop(0)
            held -= oldest.unsent()
            oldest.abort()
        self._slow.append(transport)
