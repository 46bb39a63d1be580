"""Rows that are asked for at the same time go to the replica as one request: it works on them together, and a request costs the
gateway's own time once. Only where a deployment asks for it: a matrix of rows is multiplied in another order than a row, so that
a network's numbers may differ in their last bits from those that it gives to a row alone.

While a replica works, what comes for it waits and goes along next: nobody waits where nobody is ahead. Each gets its part of the
answer as it stands there; where the requests together are refused, each is asked alone.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sixfold.core.errors import SixfoldError
from sixfold.service.gateway.wire import Headers, ReplicaGone, ReplicaRequest

TARGET: Final = b"/predict"
MOST_BODY: Final = 8 << 10  # bytes of a request that goes along: what is longer pays for itself
PAUSE_S: Final = 1.0  # without batches, after one that was refused
JSON: Final = b"application/json"
HEADERS: Final[Headers] = [(b"content-type", JSON)]
_ONE_ROW: Final = re.compile(rb'\s*(?:\{\s*"rows"\s*:\s*)?\[\s*(\{.*\})\s*\]\s*(\})?\s*', re.DOTALL)
_START: Final = '{"predictions":['
_END: Final = "]}"
_scan: Final = json.JSONDecoder().raw_decode
WholeAnswer = tuple[int, Headers, bytes]  # status, head, body
Ask = Callable[[ReplicaRequest], Awaitable[WholeAnswer]]


class PoolClosed(Exception):
    """The version no longer answers here: another pool does."""


def may_join(asked: ReplicaRequest) -> bool:
    """Whether it is worth a look."""
    return asked.target == TARGET and asked.method == "POST" and len(asked.body) <= MOST_BODY


def row_of(asked: ReplicaRequest) -> bytes | None:
    """The row's JSON, where the request holds one row and nothing else; None otherwise."""
    if not may_join(asked):
        return None
    for name, value in asked.headers:
        if name == b"content-type" and value.partition(b";")[0].strip() != JSON:
            return None
    match = _ONE_ROW.fullmatch(asked.body)
    if match is None or (match[2] is None) != asked.body.lstrip().startswith(b"["):
        return None
    try:
        text = match[1].decode()
        _, end = _scan(text)
    except (ValueError, RecursionError):
        return None
    return match[1] if end == len(text) else None  # one value: nobody's text ends the list early


def parts_of(body: bytes, rows: int) -> list[bytes] | None:
    """The answer to each row alone, from the answer to all; None where it has another form."""
    text = body.decode("latin-1")  # a replica writes ASCII alone
    if not text.startswith(_START) or not text.endswith(_END):
        return None
    at, last, found = len(_START), len(text) - len(_END), []
    try:
        while at < last:
            _, end = _scan(text, at)
            found.append(f"{_START}{text[at:end]}{_END}".encode("latin-1"))
            at = end + 1
    except (ValueError, RecursionError):
        return None
    return found if len(found) == rows else None


@dataclass
class RowBatches:
    """Of one version. `sent`, `rows`: batches of two rows and more, and rows in them."""

    sent: int = 0
    rows: int = 0
    _flying: int = 0
    _queue: list[tuple[bytes, asyncio.Future[WholeAnswer | None]]] = field(default_factory=list)
    _paused_until: float = float("-inf")
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def waiting(self) -> int:
        """Requests that go with the next batch."""
        return len(self._queue)

    def enter(self, replicas: int) -> bool:
        """Whether this request goes now and by itself: then `leave` follows."""
        if self._flying >= max(1, replicas):
            return False
        self._flying += 1
        return True

    def leave(self, ask: Ask, most: int) -> None:
        """An answer came: those that waited for it go together, at most so many."""
        self._flying -= 1
        if not self._queue:
            return
        batch, self._queue = self._queue[:most], self._queue[most:]
        self._flying += 1
        task = asyncio.create_task(self._fly(batch, ask, most))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def join(self, asked: ReplicaRequest) -> WholeAnswer | None:
        """The answer to this request out of the next batch's. None: it has to be asked alone."""
        if time.monotonic() < self._paused_until:
            return None
        row = row_of(asked)
        if row is None:
            return None
        waiting: asyncio.Future[WholeAnswer | None] = asyncio.get_running_loop().create_future()
        self._queue.append((row, waiting))
        return await waiting

    async def _fly(
        self, batch: Sequence[tuple[bytes, asyncio.Future[WholeAnswer | None]]], ask: Ask, most: int
    ) -> None:
        rows = [row for row, waiting in batch if not waiting.done()]
        futures = [waiting for _, waiting in batch if not waiting.done()]
        answers: list[WholeAnswer] = []
        try:
            if rows:
                answers = await self._asked(rows, ask)
            if not answers and len(rows) > 1:
                self._paused_until = time.monotonic() + PAUSE_S
        finally:
            for at, waiting in enumerate(futures):
                if not waiting.done():
                    waiting.set_result(answers[at] if answers else None)
            self.leave(ask, most)

    async def _asked(self, rows: Sequence[bytes], ask: Ask) -> list[WholeAnswer]:
        """An answer a row; none where they have to be asked alone."""
        body = b'{"rows":[%b]}' % b",".join(rows)
        try:
            status, headers, content = await ask(ReplicaRequest("POST", TARGET, HEADERS, body))
        except (ReplicaGone, PoolClosed, SixfoldError):
            return []
        parts = parts_of(content, len(rows)) if status == 200 else None
        if parts is None:
            return []
        if len(rows) > 1:
            self.sent, self.rows = self.sent + 1, self.rows + len(rows)
        others = [one for one in headers if one[0] != b"content-length"]
        return [(status, [(b"content-length", b"%d" % len(one)), *others], one) for one in parts]
