"""What is written down about what people did: audit, use, and answers that must not be given twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AuditEntry:
    """Who did what to what. `outcome`: done, or the error's code."""

    id: str
    tenant_id: str
    at: float
    key_id: str
    verb: str
    subject: str
    outcome: str = "done"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """Of a key within an hour (`hour`: seconds since 1970, a multiple of 3,600); counts add up."""

    tenant_id: str
    key_id: str
    hour: int
    requests: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    job_s: float = 0.0


@dataclass(frozen=True)
class Prices:
    """What is counted costs so much, as the operator says. `currency`: of the numbers, for people."""

    thousand_requests: float = 0.0
    million_tokens_in: float = 0.0
    million_tokens_out: float = 0.0
    job_hour: float = 0.0
    currency: str = ""

    def cost(self, used: Usage) -> float:
        """Of what a key used.

        >>> Prices(thousand_requests=2.0, job_hour=3.0).cost(Usage("t", "k", 0, requests=500, job_s=1200.0))
        2.0
        """
        return (
            self.thousand_requests * used.requests / 1e3
            + self.million_tokens_in * used.tokens_in / 1e6
            + self.million_tokens_out * used.tokens_out / 1e6
            + self.job_hour * used.job_s / 3600
        )


@dataclass(frozen=True)
class Remembered:
    """The answer to a creating POST with an Idempotency-Key. `status` None: still in work."""

    tenant_id: str
    key: str
    request_hash: str
    created_at: float
    status: int | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
