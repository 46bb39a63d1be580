"""What a tenant may ask for a minute: requests before they are answered, tokens by what the answers took.

Buckets in memory, of one server process: full at the start, filled again evenly. Tokens are known after an answer alone, so that
their bucket may be in debt; who is in debt waits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sixfold.service.domain.errors import NotFound, QuotaExceeded
from sixfold.service.domain.people import Quota
from sixfold.service.gateway.look_ups import LookUps
from sixfold.service.use_cases.service import Service

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
    """Of one tenant."""

    quota: Quota
    requests: Bucket
    tokens: Bucket

    @classmethod
    def full(cls, quota: Quota, now: float) -> TenantBuckets:
        """As they begin."""
        return cls(
            quota,
            Bucket(quota.requests_per_minute, at=now),
            Bucket(quota.tokens_per_minute, at=now),
        )

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
    _quotas: LookUps[Quota] = field(default_factory=LookUps)
    _buckets: dict[str, TenantBuckets] = field(default_factory=dict)

    async def buckets(self, tenant_id: str) -> TenantBuckets:
        """By its quota of at most a second ago. A quota that did not change goes on with its buckets. Raises NotFound."""
        quota = await self._quotas.get(tenant_id, partial(self._quota, tenant_id))
        known = self._buckets.get(tenant_id)
        if known is None or known.quota != quota:
            if len(self._buckets) >= MOST:
                self._buckets.clear()
            known = self._buckets[tenant_id] = TenantBuckets.full(quota, time.monotonic())
        return known

    def _quota(self, tenant_id: str) -> Quota:
        with self.service.database.reading() as rows:
            tenant = rows.tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("the tenant", "one that is there", "none", "Ask an operator.")
        return tenant.quota
