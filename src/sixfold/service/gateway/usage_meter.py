"""How much each key used: counted in memory, written to the database once a second, off the way of requests."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.errors import ServiceError
from sixfold.service.domain.people import Principal
from sixfold.service.domain.records import Usage
from sixfold.service.use_cases import usage
from sixfold.service.use_cases.service import Service

HOUR_S: Final = 3600


@dataclass
class UsageMeter:
    """For one server process: a kill loses the last second of counts."""

    service: Service
    _counts: dict[tuple[str, str, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0])
    )
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def count(self, who: Principal, failed: bool, tokens: tuple[int, int]) -> None:
        """One answer."""
        hour = int(self.service.now()) // HOUR_S * HOUR_S
        counts = self._counts[who.tenant_id, who.key_id, hour]
        counts[0] += 1
        counts[1] += failed
        counts[2] += tokens[0]
        counts[3] += tokens[1]

    def flush(self) -> None:
        """In a thread. What could not be written is kept for the next time."""
        with self._writing:
            taken, self._counts = self._counts, defaultdict(lambda: [0, 0, 0, 0])
            if not taken:
                return
            rows = [Usage(*key, *counts) for key, counts in taken.items()]
            try:
                usage.add(self.service, rows)
            except ServiceError:
                for key, counts in taken.items():
                    kept = self._counts[key]
                    for at, count in enumerate(counts):
                        kept[at] += count
                raise
