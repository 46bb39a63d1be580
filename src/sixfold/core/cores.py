"""How many threads a solver may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PLANNED: ContextVar[int | None] = ContextVar("planned", default=None)


def cores() -> int:
    """Processor cores this process may run on (its affinity where the system has one), at least
    1; inside of `planned_for`, those of another machine.
    """
    planned = _PLANNED.get()
    if planned is not None:
        return planned
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@contextmanager
def planned_for(count: int) -> Iterator[None]:
    """Inside, `cores` is that of a machine for which is planned."""
    before = _PLANNED.set(count)
    try:
        yield
    finally:
        _PLANNED.reset(before)
