"""What a deployment's requests were like: counts and latencies of its versions, and whether a canary is worse than the first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.deployments import Canary

KEPT: Final = 1000  # latencies of the newest answers of a version
SLACK_S: Final = 0.002  # a canary this little slower is not slower: guessed


@dataclass
class VersionTraffic:
    """Since the gateway began with it. An error is a status of 500 or more."""

    requests: int = 0
    errors: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def count(self, status: int, seconds: float) -> None:
        """One answer."""
        self.requests += 1
        self.errors += status >= 500
        self.latencies_s.append(seconds)

    @property
    def error_share(self) -> float:
        """0 where there were no requests."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile_s(self, share: float) -> float:
        """Of the kept latencies; 0 where there are none."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def worse(canary: Canary, first: VersionTraffic, second: VersionTraffic) -> str:
    """Why the canary must go; empty where it may stay."""
    if second.requests < canary.least_requests:
        return ""
    more = second.error_share - first.error_share
    if more > canary.most_errors:
        return f"{second.error_share:.1%} of its answers are errors, where {first.error_share:.1%} are of the first version's"
    if first.requests < canary.least_requests:
        return ""
    slow, usual = second.quantile_s(0.95), first.quantile_s(0.95)
    if slow > usual * canary.most_slower + SLACK_S:
        return f"95% of its answers take up to {slow * 1e3:.1f} ms, where the first version's take {usual * 1e3:.1f} ms"
    return ""
