"""How much each key used: counted in memory, written to the database once a second, off the way of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sixfold.service.domain.people import Principal
from sixfold.service.domain.records import Usage
from sixfold.service.use_cases import usage
from sixfold.service.use_cases.service import Service

HOUR_S: Final = 3600


class TokenCounts(NamedTuple):
    """Of a language model's request and answer; zeros for other models."""

    read: int = 0
    written: int = 0


class UsagePlace(NamedTuple):
    """What is counted together."""

    tenant_id: str
    key_id: str
    hour: int


UsageCounts = dict[UsagePlace, list[int]]  # requests, errors, tokens read, written


@dataclass
class UsageMeter:
    """For one server process: a kill loses the last second of counts. `_counts` is of the event loop, `_due` of who writes."""

    service: Service
    _counts: UsageCounts = field(default_factory=dict)
    _due: UsageCounts = field(default_factory=dict)

    def count(self, who: Principal, failed: bool, tokens: TokenCounts) -> None:
        """One answer."""
        hour = int(self.service.now()) // HOUR_S * HOUR_S
        _add(self._counts, UsagePlace(who.tenant_id, who.key_id, hour), [1, int(failed), *tokens])

    def turn(self) -> None:
        """What was counted is due to be written: on the event loop, while nobody writes."""
        for key, counts in self._counts.items():
            _add(self._due, key, counts)
        self._counts = {}

    def write(self) -> None:
        """In a thread. What could not be written is due the next time. Raises ServiceError."""
        if self._due:
            usage.add(self.service, [Usage(*key, *counts) for key, counts in self._due.items()])
            self._due = {}


def _add(into: UsageCounts, key: UsagePlace, counts: Sequence[int]) -> None:
    known = into.setdefault(key, [0, 0, 0, 0])
    for at, count in enumerate(counts):
        known[at] += count
