"""A client that goes away ends the work on its request: a language model stops in the middle of its text."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive, Scope

from sixfold.serve.connection import ON_LEFT

AFTER_S: Final = 0.1  # a request that is answered by then costs no task of its own


class ClientWatch:
    """`left`: whether the client is gone; the task that made this is then cancelled, once."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.left = False
        self._over = False
        self._receive = receive
        self._working = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._begin)
        scope[ON_LEFT] = self._has_left  # where the connection itself tells

    def end(self) -> None:
        """The answer is out."""
        self._over = True
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left()

    def _has_left(self) -> None:
        if not self._over and not self.left and self._working is not None:
            self.left = True
            self._working.cancel()
