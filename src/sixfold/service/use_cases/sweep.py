"""What nobody needs any more goes: expired files, old idempotency keys, runs that ended long ago, and bytes that no row names.

Bytes are stored before the row that names them, so those that were stored or asked for within a day stay, whatever rows say. The
unused ones are listed first and the rows are read after that: what a row names in between was asked for in between. Of a
tree that is damaged nobody knows which files it names: then no bytes are removed until it is restored. Ages are told by wall
clocks: where this machine's jumps, what is on its way looks old, so for a day by the other clock no bytes are removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.errors import NotFound, Unprocessable
from sixfold.service.use_cases.retention import forget_runs
from sixfold.service.use_cases.service import Service

UNUSED_S: Final = 24 * 3600.0  # no upload takes as long between its first file and its row
JUMP_S: Final = 600.0  # between two looks: a clock that is put right moves by less
RUNS_EVERY_S: Final = 3600.0
AT_ONCE: Final = 1000  # expired files in a transaction
TREE_BEGIN: Final = b'{"files":'
MOST_TREE_BYTES: Final = 64 << 20  # what is larger is no tree


@dataclass(frozen=True)
class Swept:
    """`unreadable`: trees that kept all bytes where they are. `runs`: of jobs."""

    files: int = 0
    answers: int = 0
    runs: int = 0
    artifacts: int = 0
    bytes: int = 0
    unreadable: tuple[str, ...] = ()


@dataclass
class Sweeper:
    """`sweep` is called every few minutes. What a digest names never changes, so each is read once."""

    service: Service
    unused_s: float = UNUSED_S
    monotonic: Callable[[], float] = time.monotonic
    _named: dict[str, frozenset[str]] = field(default_factory=dict)
    _clocks: float = field(init=False)  # how far one is before the other
    _jumped_at: float | None = None
    _runs_at: float | None = None

    def __post_init__(self) -> None:
        self._clocks = self.service.now() - self.monotonic()

    def sweep(self) -> Swept:
        """Raises Unavailable."""
        files, answers = self._rows()
        if self._clock_jumped():
            return Swept(files, answers)
        runs = self._runs()
        store = self.service.artifacts
        unused = set(store.digests(self.unused_s))
        with self.service.database.reading() as rows:
            roots = rows.digests()
        needed, unreadable = self._reachable(roots)
        if unreadable:
            return Swept(files, answers, runs, unreadable=tuple(sorted(unreadable)))
        gone = unused - needed
        return Swept(files, answers, runs, len(gone), store.remove(sorted(gone)))

    def _runs(self) -> int:
        """Once an hour: every job that ended is looked at."""
        now = self.monotonic()
        if self._runs_at is not None and now - self._runs_at < RUNS_EVERY_S:
            return 0
        self._runs_at = now
        return forget_runs(self.service)

    def _clock_jumped(self) -> bool:
        """Within the last `unused_s`."""
        now = self.monotonic()
        clocks = self.service.now() - now
        if abs(clocks - self._clocks) > JUMP_S:
            self._jumped_at = now
        self._clocks = clocks
        return self._jumped_at is not None and now - self._jumped_at < self.unused_s

    def _rows(self) -> tuple[int, int]:
        now = self.service.now()
        with self.service.database.transaction() as rows:
            expired = rows.files.expired(now, AT_ONCE)
            for file in expired:
                rows.files.remove(file.tenant_id, file.id)
            answers = rows.records.forget_before(now - self.service.settings.idempotency_s)
        return len(expired), answers

    def _reachable(self, roots: frozenset[str]) -> tuple[set[str], set[str]]:
        """With the files of trees; and what could not be read."""
        needed, unreadable = set(roots), set[str]()
        named = {}
        for digest in roots:
            try:
                known = self._named.get(digest)
                named[digest] = self._files_of(digest) if known is None else known
            except NotFound:  # names nothing that could be kept
                continue
            except Unprocessable:
                unreadable.add(digest)
            else:
                needed |= named[digest]
        self._named = named
        return needed, unreadable

    def _files_of(self, digest: str) -> frozenset[str]:
        """None where it is whole and no tree. Raises NotFound, Unprocessable for one that is damaged."""
        with self.service.artifacts.open(digest) as file:
            text = file.read(MOST_TREE_BYTES + 1)
        if len(text) > MOST_TREE_BYTES or not text.startswith(TREE_BEGIN):
            return frozenset()
        try:
            return frozenset(self.service.artifacts.tree(digest).files.values())
        except Unprocessable:  # a file that begins as one
            return frozenset()
