"""A deployment: one address, the versions that answer there, and by which shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class DeploymentState(StrEnum):
    """`ASLEEP`: scaled to zero; the next request starts it."""

    STARTING = "starting"
    READY = "ready"
    ASLEEP = "asleep"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Canary:
    """A second version that answers a share of the requests. It is rolled back by itself when its share of errors exceeds
    the first's by `most_errors`, or its p95 latency is `most_slower` times the first's, over at least `least_requests`.
    """

    version_id: str
    share: float
    most_errors: float = 0.02
    most_slower: float = 2.0
    least_requests: int = 100


@dataclass(frozen=True)
class Scaling:
    """Replicas of a version, and seconds without a request after which there are none (None: never none). `most_together`:
    requests of one row that go to a replica as one; 1: each alone, so that an answer is the same to the last bit whoever asks
    beside it.
    """

    least: int = 1
    most: int = 1
    sleep_after_s: float | None = None
    target_queue: int = 4  # requests in work a replica before another one starts
    most_together: int = 1


@dataclass(frozen=True)
class DriftLimits:
    """From where on a column is called drifted. `psi`: population stability index; `ks`: Kolmogorov-Smirnov statistic of numbers;
    `unseen`: share of values that training never met, of categories; None: not looked at. `least_rows`: fewer tell nothing.
    """

    psi: float = 0.25
    ks: float | None = None
    unseen: float | None = None
    least_rows: int = 100

    def exceeded(self, psi: float, ks: float | None, unseen: float, rows: int) -> bool:
        """Whether any of them is."""
        beyond = psi > self.psi
        beyond = beyond or (self.ks is not None and ks is not None and ks > self.ks)
        beyond = beyond or (self.unseen is not None and unseen > self.unseen)
        return beyond and rows >= self.least_rows


@dataclass(frozen=True)
class Deployment:
    """`name` is unique in its tenant: `/models/NAME/predict`, or `model: NAME` under `/v1`. `shadow`: a version that is asked
    the same, and whose answers nobody gets. `log_share`: of requests that are kept, 0 by default. `generation` counts changes.
    `before`: versions that answered before, newest first.
    """

    id: str
    tenant_id: str
    name: str
    version_id: str
    created_at: float
    state: DeploymentState = DeploymentState.STARTING
    canary: Canary | None = None
    shadow: str | None = None
    scaling: Scaling = field(default_factory=Scaling)
    log_share: float = 0.0
    generation: int = 1
    reason: str = ""
    drift: DriftLimits = field(default_factory=DriftLimits)
    before: tuple[str, ...] = ()
