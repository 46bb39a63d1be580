"""What every use case is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sixfold.service.domain.records import Prices
from sixfold.service.ports.artifacts import Artifacts
from sixfold.service.ports.database import Database


@dataclass(frozen=True)
class ServiceSettings:
    """Of the whole service. Seconds, bytes.

    `lease_s`: how long a worker's beat may stay the same before its job is given to another (45 is the most that a lost
    machine may take); `beat_s`: between two beats. `most_upload_bytes`: of one file.
    `idempotency_s`: how long an answer is remembered. `keep_runs_s`: how long after its end the run of a job is kept; None: for
    ever. `prices`: of what is counted; None: nothing costs anything.
    """

    lease_s: float = 30.0
    beat_s: float = 1.0
    most_upload_bytes: int = 8 << 30
    idempotency_s: float = 24 * 3600.0
    organization: str = "sixfold"
    keep_runs_s: float | None = None
    prices: Prices | None = None


@dataclass
class KeyChanges:
    """How often keys or their owners' scopes changed in this process: who remembers keys looks at it."""

    count: int = 0


@dataclass(frozen=True)
class Service:
    """State, bytes and settings. `now`: seconds since 1970, shown to people; no lease hangs on it."""

    database: Database
    artifacts: Artifacts
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    now: Callable[[], float] = time.time
    key_changes: KeyChanges = field(default_factory=KeyChanges)
