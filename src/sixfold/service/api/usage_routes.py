"""`/api/v1/usage`: how much each key used, by the hour, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel

from sixfold.service.api.access import In, Who
from sixfold.service.domain.records import Prices, Usage
from sixfold.service.use_cases import usage
from sixfold.service.use_cases.usage import KeyUse

router = APIRouter(tags=["usage"])
MOST_HOURS = 24 * 92


class KeyCounts(BaseModel):
    """Of a key. `errors`: answers of 400 and more; `job_s`: seconds in which workers ran its jobs; `cost`: null where the
    operator named no prices.
    """

    key_id: str
    requests: int
    errors: int
    tokens_in: int
    tokens_out: int
    job_s: float
    cost: float | None


class HourOfKey(KeyCounts):
    """Within an hour that begins at `hour` (seconds since 1970)."""

    hour: int

    @classmethod
    def of(cls, row: Usage, prices: Prices | None) -> Self:
        """At these prices."""
        facts = {name: one for name, one in asdict(row).items() if name != "tenant_id"}
        return cls(**facts, cost=None if prices is None else prices.cost(row))


class UseOfKey(KeyCounts):
    """Of all these hours together. `name`: null of a key that is gone."""

    name: str | None

    @classmethod
    def of(cls, row: KeyUse) -> Self:
        """As the use case has it."""
        facts = {
            name: one for name, one in asdict(row.used).items() if name not in ("tenant_id", "hour")
        }
        return cls(**facts, name=row.name, cost=row.cost)


class UsageAnswer(BaseModel):
    """`data`: by hour, then by key; `keys`: the most requests first. `currency`: of every cost, null where there is none."""

    data: list[HourOfKey]
    keys: list[UseOfKey]
    currency: str | None


@router.get("/api/v1/usage")
def since(
    service: In, who: Who, hours: Annotated[int, Query(ge=1, le=MOST_HOURS)] = 24
) -> UsageAnswer:
    """Of all keys of the tenant, within so many hours. Counts arrive about a second after the answers."""
    prices = service.settings.prices
    return UsageAnswer(
        data=[HourOfKey.of(one, prices) for one in usage.since(service, who, hours)],
        keys=[UseOfKey.of(one) for one in usage.by_key(service, who, hours)],
        currency=None if prices is None else prices.currency,
    )
