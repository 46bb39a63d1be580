"""What a deployment's requests were like: counts and latencies of its versions, in all and by the minute, and whether a canary is
worse than the first.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.deployments import Canary

KEPT: Final = 1000  # latencies of the newest answers of a version
SLACK_S: Final = 0.002  # a canary this little slower is not slower: guessed
MINUTES: Final = 180  # that are kept
LEAST_S: Final = 1e-6
STEP: Final = math.log(1.1)  # of a latency's logarithm: a quantile is right within a twentieth


@dataclass
class TrafficMinute:
    """The answers of one minute. `minute`: since 1970; `taken`: how many took so long, by the step of the logarithm."""

    minute: int
    requests: int = 0
    errors: int = 0
    taken: Counter[int] = field(default_factory=Counter)

    def quantile_s(self, share: float) -> float:
        """Of the latencies; 0 where there are none."""
        before, wanted = 0, share * self.requests
        for step in sorted(self.taken):
            before += self.taken[step]
            if before >= wanted:
                return LEAST_S * math.exp((step + 0.5) * STEP)
        return 0.0


@dataclass
class VersionTraffic:
    """Since the gateway began with it. An error is a status of 500 or more. `minutes`: the last three hours, without those that
    nobody asked in.
    """

    requests: int = 0
    errors: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    minutes: deque[TrafficMinute] = field(default_factory=lambda: deque(maxlen=MINUTES))

    def count(self, status: int, seconds: float, now: float) -> None:
        """One answer. `now`: seconds since 1970."""
        failed = status >= 500
        self.requests += 1
        self.errors += failed
        self.latencies_s.append(seconds)
        minute = int(now // 60)
        if not self.minutes or self.minutes[-1].minute != minute:
            self.minutes.append(TrafficMinute(minute))
        last = self.minutes[-1]
        last.requests += 1
        last.errors += failed
        last.taken[int(math.log(max(seconds, LEAST_S) / LEAST_S) / STEP)] += 1

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
