"""How much each key used, by the hour."""

from __future__ import annotations

from collections.abc import Iterable

from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.records import Usage
from sixfold.service.use_cases.service import Service

HOUR_S = 3600


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
