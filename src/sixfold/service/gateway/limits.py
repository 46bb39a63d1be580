"""What a tenant may ask for a minute: requests before they are answered, tokens by what the answers took.

Buckets in memory, of one server process: full at the start, filled again evenly. Tokens are known after an answer alone, so that
their bucket may be in debt; who is in debt waits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Final

from sixfold.service.domain.errors import NotFound, QuotaExceeded
from sixfold.service.domain.people import Quota
from sixfold.service.use_cases.service import Service

LASTS_S: Final = 1.0  # how late a changed quota is known here
MINUTE_S: Final = 60.0
MOST: Final = 10_000


@dataclass
class Bucket:
    """`most` a minute; None: no limit."""

    most: int | None
    left: float = 0.0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = float(self.most or 0)

    def wait_s(self, now: float, wanted: float) -> float:
        """Seconds until so many are there; 0: now."""
        if self.most is None:
            return 0.0
        self.left = min(self.most, self.left + (now - self.at) * self.most / MINUTE_S)
        self.at = now
        if self.left >= wanted:
            return 0.0
        return (wanted - self.left) * MINUTE_S / self.most if self.most else MINUTE_S

    def take(self, count: float) -> None:
        """Into debt, too."""
        self.left -= count


@dataclass
class TenantBuckets:
    """Of one tenant. `until`: when its quota is read again."""

    quota: Quota
    until: float
    requests: Bucket
    tokens: Bucket

    def enter(self, now: float) -> None:
        """One request more. Raises QuotaExceeded."""
        for what, bucket, wanted in (
            ("requests", self.requests, 1.0),
            ("tokens", self.tokens, 1e-9),
        ):
            wait_s = bucket.wait_s(now, wanted)
            if wait_s:
                raise QuotaExceeded(
                    f"{what} per minute",
                    f"at most {bucket.most:,}",
                    "more",
                    "Ask again later, or ask an operator for more.",
                    min(60, math.ceil(wait_s)),
                )
        self.requests.take(1.0)


@dataclass
class TenantLimits:
    """For one server process."""

    service: Service
    _known: dict[str, TenantBuckets] = field(default_factory=dict)

    def remembered(self, tenant_id: str) -> TenantBuckets | None:
        """None where the quota was read longer than a second ago."""
        found = self._known.get(tenant_id)
        return found if found is not None and time.monotonic() < found.until else None

    def look_up(self, tenant_id: str) -> TenantBuckets:
        """Its quota as it is now: in a thread. A quota that did not change goes on with its buckets. Raises NotFound."""
        with self.service.database.reading() as rows:
            tenant = rows.tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("the tenant", "one that is there", "none", "Ask an operator.")
        now, quota = time.monotonic(), tenant.quota
        known = self._known.get(tenant_id)
        if known is None or known.quota != quota:
            if len(self._known) >= MOST:
                self._known.clear()
            requests = Bucket(quota.requests_per_minute, at=now)
            known = TenantBuckets(quota, now, requests, Bucket(quota.tokens_per_minute, at=now))
            known = self._known[tenant_id] = known
        known.until = now + LASTS_S
        return known
