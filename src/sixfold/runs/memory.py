"""A budget of memory, looked at while work goes on: by a thread of its own, because a solver does
not stop to be asked.
"""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil

from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes

EVERY_S = 0.05  # a look takes 20 µs


def held_bytes() -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


class MemoryGuard:
    """Remembers the most that was held, and raises at the next safe point where that is above the
    budget.

    `limit`: bytes, or None for any. Use as a context manager, which looks every EVERY_S seconds.
    `held`: what tells the bytes.
    """

    def __init__(self, limit: int | None, held: Callable[[], int] = held_bytes) -> None:
        self.limit = limit
        self.held = held
        self.most = 0
        self.resting = False
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self.limit is not None:
            self._thread = threading.Thread(target=self._watch, name="memory guard", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Once, now."""
        self.most = max(self.most, self.held())

    def check(self) -> None:
        """A safe point. Raises BudgetError when more was held since `recover` than the budget
        allows.
        """
        if self.limit is None or self.resting:
            return
        self.look()
        if self.most > self.limit:
            raise BudgetError(
                "budget.memory",
                f"at most {show_bytes(self.limit)}",
                f"{show_bytes(self.most)} in use",
                "Raise budget.memory, use fewer candidates at once, or smaller ones.",
            )

    def recover(self) -> None:
        """What went over the budget is given up: its memory goes back to the system, and the next
        candidate has a chance.
        """
        if self.limit is None:
            return
        gc.collect()
        give_back()
        self.most = 0

    def rest(self) -> None:
        """From now on nothing is refused: the run ends with what it has."""
        self.resting = True

    def _watch(self) -> None:
        while not self._done.wait(EVERY_S):
            self.look()


def give_back() -> None:
    """Ask the C library to return memory that is free to the system; where it cannot, nothing
    happens.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # no glibc
        return
