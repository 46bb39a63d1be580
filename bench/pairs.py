"""The form of a result: peer and ours interleaved, medians, ratio = median(peer) / median(ours),
equal quality asserted.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

ROUNDS = 7
T = TypeVar("T")


class Absent(Exception):
    """A peer cannot be measured here; the text says why, and what would change it."""


@dataclass(frozen=True)
class Result:
    """One line of the table. `unit`: s, B, or the name of a score, of which more is better.
    `quality`: what was asserted.

    `target`: the ratio that has to be reached (of a score: the points, hundredths, by which ours
    may be ahead at the least), or None. `floor`: what the machine needs at the least, in the unit,
    or None. `absent`: why there is no figure: the peer is not installed, its data is not here, or
    the measurement failed.
    """

    workload: str
    peer: str
    ours: float | None = None
    peers: float | None = None
    unit: str = "s"
    quality: str = ""
    target: float | None = None
    floor: float | None = None
    rounds: int = ROUNDS
    absent: str = ""
    failed: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure is ours; of a score the points that ours is ahead."""
        if self.ours is None or self.peers is None:
            return None
        return 100 * (self.ours - self.peers) if self.is_score else self.peers / self.ours

    @property
    def is_score(self) -> bool:
        """Whether more is better."""
        return self.unit not in ("s", "B")

    @property
    def reached(self) -> bool | None:
        """Whether the ratio is the target or more; None where either is missing."""
        return None if self.ratio is None or self.target is None else self.ratio >= self.target

    @property
    def share(self) -> float | None:
        """The floor's part of our time: 1 is as fast as this machine can be."""
        return None if self.ours is None or self.floor is None else self.floor / self.ours

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached, "share": self.share}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Result:
        """Of what `record` wrote."""
        return cls(
            **{name: value for name, value in record.items() if name in cls.__dataclass_fields__}
        )


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Median seconds of both, run in turn `rounds` times. What has to be warm was run before."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, seen in ((ours, times[0]), (peer, times[1])):
            started = time.perf_counter()
            work()
            seen.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def against(
    form: Result,
    ours: Callable[[], T],
    peer: Callable[[], T],
    same: Callable[[T, T], str],
    rounds: int = ROUNDS,
) -> Result:
    """`form` with both medians. Both run once before: their answers have to be the `same`, which
    says how, or raises.

    A peer that is not installed, and a measurement that fails, are a row of the table: they are
    said, not dropped.
    """
    try:
        quality = same(ours(), peer())
        mine, others = interleaved(ours, peer, rounds)
    except Absent as error:
        return replace(form, absent=str(error))
    except Exception as error:  # whatever a peer raises: the other rows are measured all the same
        traceback.print_exc()
        return replace(form, absent=f"failed: {type(error).__name__}: {error}"[:300], failed=True)
    return replace(form, ours=mine, peers=others, quality=quality, rounds=rounds)


def need(*modules: str) -> None:
    """Raises Absent where one is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Absent(f"{module} is not installed: `make bench` installs it")


def close(what: str, most: float) -> Callable[[float, float], str]:
    """Asserts that two scores differ by at most `most`, and says them."""

    def same(mine: float, others: float) -> str:
        assert abs(mine - others) <= most, f"{what}: {mine} and {others} differ by more than {most}"
        return f"{what} {mine:.4g}, {others:.4g}"

    return same
