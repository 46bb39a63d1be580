"""How many: the largest share that can go within `keep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from sixfold.compress.subject import CompressionState
from sixfold.core.errors import BudgetError
from sixfold.runs.context import Context

NO_TIME = "no time was left in the budget"
LEAST = 0.05  # smaller shares are not worth a training
BISECTIONS = 5  # of (0, 1): the answer is within 1/32 of the largest share

Ratio = float | Literal["largest"]
Found = tuple[CompressionState | None, str]


def largest(ratio: Ratio, attempt: Callable[[float], Found], context: Context) -> Found:
    """The subject of the largest share within `keep` that was found, and the share; or None and
    why.

    `ratio`: the first of it, half of it, a quarter … that holds. `largest`: bisection, which takes
    it that a smaller cut costs no more than a larger one. `attempt(share)` gives None and the
    reason where `keep` breaks.
    """
    if ratio == "largest":
        return _bisected(attempt, context)
    why = NO_TIME
    for share in _halves(ratio):
        if context.left_s() <= 0:
            break
        found, why = in_time(lambda share=share: attempt(share), context)  # type: ignore[misc]
        if found is not None:
            return found, f"{share:.0%}"
    return None, why


def in_time(attempt: Callable[[], Found], context: Context) -> Found:
    """What `attempt` finds; None when the time ended before it did: a training that was cut short
    is not trusted.
    """
    try:
        found, why = attempt()
    except BudgetError:
        return None, NO_TIME
    return (found, why) if found is None or context.left_s() > 0 else (None, NO_TIME)


def _bisected(attempt: Callable[[float], Found], context: Context) -> Found:
    low, high = 0.0, 1.0
    best, why, notes = None, NO_TIME, ""
    for _ in range(BISECTIONS):
        if context.left_s() <= 0:
            break
        share = (low + high) / 2
        found, why = in_time(lambda share=share: attempt(share), context)  # type: ignore[misc]
        if found is None:
            high = share
        else:
            low, best, notes = share, found, f"{share:.0%}"
    return (best, notes) if best is not None else (None, why)


def _halves(ratio: float) -> Iterator[float]:
    """`ratio`, half of it, a quarter …, down to LEAST; `ratio` itself in any case."""
    yield ratio
    while (ratio := ratio / 2) >= LEAST:
        yield ratio
