"""The form of a result: peer and ours interleaved, medians, ratio = median(peer) / median(ours)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 7


@dataclass(frozen=True)
class Result:
    """One line of the table. Seconds for times, bytes for sizes; `quality` says what was asserted equal."""

    workload: str
    peer: str
    ours: float
    peers: float
    unit: str
    quality: str

    @property
    def ratio(self) -> float:
        """How many times the peer's figure is ours."""
        return self.peers / self.ours

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "ratio": self.ratio}


def interleaved(ours: Callable[[], object], peer: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median seconds of both, run in turn after one warm-up of each."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), peer()
    for _ in range(rounds):
        for work, seen in ((ours, times[0]), (peer, times[1])):
            started = time.perf_counter()
            work()
            seen.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])
