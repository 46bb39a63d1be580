"""How much each key used, by the hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.records import Usage
from sixfold.service.use_cases.service import Service

HOUR_S = 3600


@dataclass(frozen=True)
class KeyUse:
    """What a key used. `name`: of the key, None of one that is gone; `cost`: None where nothing has a price."""

    name: str | None
    used: Usage
    cost: float | None


def add(service: Service, counts: Iterable[Usage]) -> None:
    """What was counted since the last time; all of it, or nothing."""
    with service.database.transaction() as rows:
        for one in counts:
            rows.records.add_usage(one)


def since(service: Service, who: Principal, hours: int) -> tuple[Usage, ...]:
    """Of the tenant's keys within so many hours, the current one included."""
    who.require(Scope.READ)
    first = (int(service.now()) // HOUR_S - hours + 1) * HOUR_S
    with service.database.reading() as rows:
        return rows.records.usage(who.tenant_id, first)


def by_key(service: Service, who: Principal, hours: int) -> tuple[KeyUse, ...]:
    """The same, added up for each key; `used.hour` is the first of them. The most requests first."""
    first, prices = None, service.settings.prices
    totals: dict[str, Usage] = {}
    for one in since(service, who, hours):
        first = one.hour if first is None else first
        known = totals.get(one.key_id, Usage(one.tenant_id, one.key_id, first))
        totals[one.key_id] = replace(
            known,
            requests=known.requests + one.requests,
            errors=known.errors + one.errors,
            tokens_in=known.tokens_in + one.tokens_in,
            tokens_out=known.tokens_out + one.tokens_out,
            job_s=known.job_s + one.job_s,
        )
    with service.database.reading() as rows:
        keys = {key_id: rows.keys.get(who.tenant_id, key_id) for key_id in totals}
    names = {key_id: None if key is None else key.name for key_id, key in keys.items()}
    most_first = sorted(totals.values(), key=lambda one: (-one.requests, -one.job_s, one.key_id))
    return tuple(
        KeyUse(names[one.key_id], one, None if prices is None else prices.cost(one))
        for one in most_first
    )
