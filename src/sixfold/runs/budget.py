"""Budgets hold: time is given out in shares, and what the best model so far still needs is kept
back from them.

What looks at memory and disk while work goes on: `runs.memory`, `runs.disk`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from sixfold.core.units import seconds, size_bytes
from sixfold.recipe.budget import Budget

WORK_SHARE = 0.95  # of the time; the rest is for measuring, the report and the bundle
FINISH_S = 1.5  # that rest at least, if it is less than half: measured 1.1 s of one core, 32,561 rows, boosting
FINISH_COLUMN_S = 0.003  # and for every column: its cells in the stored rows, asked twice, its place in the report
REPORT_SHARE = 0.4  # of that rest, for the report and the bundle: until then columns are shuffled
TRAIN_SHARE = (
    0.75  # of the time, where compression follows; guessed, and what training leaves flows on
)


def shared_s(time_s: float, finish_s: float = FINISH_S) -> float:
    """The seconds that shares are of: after WORK_SHARE of them there is time to finish."""
    return min(time_s, (time_s - min(finish_s, time_s / 2)) / WORK_SHARE)


class TimeShares(NamedTuple):
    """The shares of the time at which evaluation and refit end."""

    evaluation: float
    refit: float


@dataclass(frozen=True)
class Limits:
    """A recipe's budget from the moment a command starts. Times are time.monotonic() seconds.
    `undivided`: the work is whole or nothing, so that each of its parts may take all that is left.
    `finish_s`: what the end of the run takes.
    """

    started: float
    time_s: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    undivided: bool = False
    finish_s: float = FINISH_S

    @classmethod
    def start(cls, budget: Budget, started: float | None = None) -> Limits:
        """The clock starts at `started`, or now; each command has the whole time of the recipe."""
        return cls(
            time.monotonic() if started is None else started,
            seconds(budget.time) if budget.time else None,
            size_bytes(budget.memory) if budget.memory else None,
            size_bytes(budget.disk) if budget.disk else None,
        )

    def deadline(self, share: float) -> float | None:
        """The moment at which `share` of the time is spent, or None without a time budget. In a
        short time the rest that WORK_SHARE leaves would not do: all shares are of less; but of
        `undivided` work, whose whole kept that rest.
        """
        if self.time_s is None:
            return None
        return self.started + share * (
            self.time_s if self.undivided else shared_s(self.time_s, self.finish_s)
        )

    def of_table(self, columns: int) -> Limits:
        """The same, now that it is known how many columns there are."""
        return replace(self, finish_s=FINISH_S + FINISH_COLUMN_S * columns)

    def report(self) -> float | None:
        """The moment at which the report and the bundle begin."""
        if self.time_s is None:
            return None
        return (
            self.started
            + self.time_s
            - REPORT_SHARE * (self.time_s - WORK_SHARE * shared_s(self.time_s, self.finish_s))
        )

    def rest(self, share: float) -> Limits:
        """Those of a piece of work that begins now, is done whole or not at all, and has until
        `share` of the time.
        """
        now, end = time.monotonic(), self.deadline(share)
        left = None if end is None else max(0.0, end - now)
        return replace(self, started=now, time_s=left, undivided=True)

    def until(self, compresses: bool, evaluated: float) -> TimeShares:
        """The shares of the time at which evaluation and refit end.

        `evaluated`: rows that evaluation trains on, in multiples of those of the refit: a row has
        the same time in both.
        """
        end = TRAIN_SHARE if compresses else WORK_SHARE
        return TimeShares(end * evaluated / (evaluated + 1.0), end)

    def before(self, shares: TimeShares, reserve_s: float) -> float | None:
        """The deadline of evaluation, if the refit needs `reserve_s` at least."""
        end, last = self.deadline(shares.evaluation), self.deadline(shares.refit)
        return None if end is None or last is None else min(end, last - reserve_s)

    def part(self, end: float | None, parts_left: float) -> float | None:
        """The deadline of one of `parts_left` equal parts of what is left until `end`
        (time.monotonic(), or None).
        """
        if end is None:
            return None
        now = time.monotonic()
        return end if self.undivided else now + max(0.0, end - now) / max(1, parts_left)
