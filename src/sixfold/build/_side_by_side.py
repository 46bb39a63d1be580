"""Fits whose solver lets other threads run, several at once: one a core, and the cores that are
left over divided.

scikit-learn's trees, libsvm and LightGBM work outside of Python's lock. One thread a fit wastes
nothing on waiting for another: boosting on digits took half the time that it takes fit after fit
with two threads each, on 80,000 × 50 six sevenths (two cores, by hand). What is found does not
depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from sixfold.core.cores import cores
from sixfold.parts.fit import Fit, Fitted
from sixfold.runs.context import Context

RunContext = Callable[[Fit, int, Context], Sequence[Fitted]]
Events = list[tuple[str, dict[str, Any]]]


def side_by_side(fits: Sequence[Fit], work: RunContext, context: Context) -> Iterator[Fitted]:
    """Yield what `work(fit, threads, context)` finds, fit by fit in their order. Raises what it
    raises.

    `work` may use so many threads, and looks at no other fit. What it says is emitted when it is
    its turn.
    """
    width = min(len(fits), cores())
    for first in range(0, len(fits), max(1, width)):
        yield from _wave(fits[first : first + width], work, context)


def _wave(fits: Sequence[Fit], work: RunContext, context: Context) -> Iterator[Fitted]:
    if len(fits) == 1:
        yield from work(fits[0], cores(), context)
        return
    notes: list[Events] = [[] for _ in fits]
    contexts = [replace(context, emit_to=_listener(events)) for events in notes]
    with ThreadPoolExecutor(len(fits)) as pool:
        futures = [
            pool.submit(work, fit, cores() // len(fits), own)
            for fit, own in zip(fits, contexts, strict=True)
        ]
        try:
            for future, events in zip(futures, notes, strict=True):
                future.exception()  # it is done, one way or the other
                for kind, facts in events:
                    context.emit_to(kind, facts)
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _listener(events: Events) -> Callable[[str, dict[str, Any]], None]:
    return lambda kind, facts: events.append((kind, facts))
