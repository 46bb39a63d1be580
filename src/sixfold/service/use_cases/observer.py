"""Who looks whether workers live: one that does not count its beat up for `lease_s` loses its job.

The time is this process's monotonic clock between two looks, so a wall clock that jumps takes no job away, and a server that
starts again grants every worker a whole lease. So does one whose database was away: meanwhile no beat could be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sixfold.service.domain.errors import Conflict, NotFound, ServiceError
from sixfold.service.ports.jobs import HeldJob
from sixfold.service.use_cases import workers
from sixfold.service.use_cases.service import Service


@dataclass
class Observer:
    """`look` is called about once a second."""

    service: Service
    monotonic: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[HeldJob, float]] = field(default_factory=dict)

    def look(self) -> tuple[str, ...]:
        """Take the jobs of silent workers away; their ids. Raises ServiceError."""
        now, lease_s = self.monotonic(), self.service.settings.lease_s
        try:
            with self.service.database.reading() as rows:
                held = rows.jobs.held()
        except ServiceError:
            self._seen = {}
            raise
        seen, late = {}, []
        for one in held:
            before = self._seen.get(one.job_id)
            since = before[1] if before is not None and before[0] == one else now
            seen[one.job_id] = one, since
            if now - since > lease_s:
                late.append(one)
        self._seen = seen
        return tuple(one.job_id for one in late if self._take(one))

    def lost(self, worker_id: str, crashed: bool = True) -> None:
        """The worker is known to be dead (its process ended): its jobs are free at once. `crashed`: maybe because of them."""
        with self.service.database.transaction() as rows:
            rows.workers.remove(worker_id)
            held = [one for one in rows.jobs.held() if one.worker_id == worker_id]
        for one in held:
            self._take(one, crashed)

    def _take(self, held: HeldJob, crashed: bool = True) -> bool:
        """Unless its worker wrote in the meantime."""
        try:
            with self.service.database.transaction() as rows:
                job = rows.jobs.find(held.job_id)
                if job is None or job.beat != held.beat:
                    return False
                job = job.held_by(held.worker_id, held.attempt)
                workers.give_back(self.service, rows, job, crashed)
        except (Conflict, NotFound):
            return False
        return True
