"""What a deployment's page shows of its traffic and its drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from sixfold.service.console import pages
from sixfold.service.console.line_chart import LineChart, Scale, Series, line_chart, small_line
from sixfold.service.domain.deployments import Deployment
from sixfold.service.domain.registry import ModelVersion
from sixfold.service.gateway.drift_figures import ColumnDrift
from sixfold.service.gateway.gateway import DeploymentRoute, Gateway
from sixfold.service.gateway.traffic import TrafficMinute, VersionTraffic

MINUTE_S: Final = 60
SHOWN: Final = 60  # minutes
COLUMNS: Final = 50  # of a drift table
POINTS: Final = 60  # of a column's line
COUNTS: Final = Scale(lambda value: f"{value:.4g}", 2.0)
SECONDS: Final = Scale(lambda value: pages.milliseconds(1e3 * value), 1e-3)
SHARES: Final = Scale(lambda value: f"{value:.1%}", 0.01)


@dataclass(frozen=True)
class RoleRow:
    """A version of the deployment: what it is there for, and what it did. `slower`: its p95 over the first version's; `worse`:
    its share of errors above the first's; None where they cannot be told.
    """

    role: str
    version: ModelVersion | None
    replicas: int
    seen: VersionTraffic | None
    slower: float | None = None
    worse: float | None = None


@dataclass(frozen=True)
class DriftRow:
    """A column beside the bundle's own rows. `line`: its index over time, as points."""

    column: ColumnDrift
    line: str


def gateway_of(request: Request) -> Gateway:
    """Of the running application."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def route_of(request: Request, found: Deployment) -> DeploymentRoute | None:
    """None until the gateway has seen the deployment."""
    return gateway_of(request).routes.get((found.tenant_id, found.name))


def traffic(
    request: Request, found: Deployment, versions: Mapping[str, ModelVersion], now: float
) -> dict[str, Any]:
    """Rows by role, and charts of the last hour."""
    route = route_of(request, found)
    roles = {found.version_id: "first"}
    if found.shadow is not None:
        roles.setdefault(found.shadow, "shadow")
    if found.canary is not None:
        roles[found.canary.version_id] = "canary"
    rows = [
        _row(role, versions.get(version_id), route, version_id)
        for version_id, role in roles.items()
    ]
    first = rows[0].seen
    rows = [rows[0], *(_beside(row, first) for row in rows[1:])]
    return {
        "rows": rows,
        "charts": _charts(pages.words_of(request), rows, now),
        "shadow_watch": None if route is None else route.shadow,
    }


def drift(request: Request, found: Deployment) -> dict[str, Any]:
    """Columns of the newest rows beside the bundle's own, the alarming ones first."""
    route = route_of(request, found)
    reference, columns = (0, []) if route is None else gateway_of(request).drift(route)
    past = () if route is None else tuple(route.drift.past)[-POINTS:]
    order = sorted(range(len(columns)), key=lambda at: (not columns[at].drifted, -columns[at].psi))
    rows = [
        DriftRow(
            columns[at],
            small_line([float(one.psi[at]) for one in past if at < len(one.psi)], found.drift.psi),
        )
        for at in order[:COLUMNS]
    ]
    return {
        "starting": route is None,
        "reference": reference,
        "drift_rows": rows,
        "more": max(0, len(columns) - COLUMNS),
        "drifted": sum(one.drifted for one in columns),
        "sampled": columns[0].rows if columns else 0,
    }


def drifting(request: Request, tenant_id: str) -> frozenset[str]:
    """Names of deployments with a column that is beyond its limits, as the gateway saw last."""
    routes = tuple(gateway_of(request).routes.items())
    return frozenset(
        name
        for (tenant, name), route in routes
        if tenant == tenant_id and any(one.drifted for one in route.drift.last)
    )


def _row(
    role: str, version: ModelVersion | None, route: DeploymentRoute | None, version_id: str
) -> RoleRow:
    pool = None if route is None else route.pools.get(version_id)
    seen = None if route is None else route.traffic.get(version_id)
    return RoleRow(role, version, 0 if pool is None else len(pool.replicas), seen)


def _beside(row: RoleRow, first: VersionTraffic | None) -> RoleRow:
    if row.seen is None or first is None or not first.requests or not row.seen.requests:
        return row
    usual = first.quantile_s(0.95)
    slower = row.seen.quantile_s(0.95) / usual if usual else None
    worse = row.seen.error_share - first.error_share
    return RoleRow(row.role, row.version, row.replicas, row.seen, slower, worse)


def _charts(words: Callable[[str], str], rows: list[RoleRow], now: float) -> list[LineChart]:
    this = int(now // MINUTE_S)
    known = {one.minute for row in rows if row.seen is not None for one in tuple(row.seen.minutes)}
    whole = any(this - SHOWN <= minute < this for minute in known)
    last = this - 1 if whole else this  # a minute that is not over looks like a fall
    minutes = range(last - SHOWN + 1, last + 1)
    if not known.intersection(minutes):
        return []
    asked = (
        ("deployment.chart_requests", lambda one: float(one.requests), 0.0, COUNTS),
        ("deployment.chart_p95", lambda one: one.quantile_s(0.95), None, SECONDS),
        ("deployment.chart_failed", lambda one: one.errors / one.requests, None, SHARES),
    )
    return [
        line_chart(
            words(name),
            [
                Series(words(f"role.{row.role}"), at, _points(row.seen, minutes, value, empty))
                for at, row in enumerate(rows)
            ],
            minutes[0] * MINUTE_S,
            minutes[-1] * MINUTE_S,
            scale,
        )
        for name, value, empty, scale in asked
    ]


def _points(
    seen: VersionTraffic | None,
    minutes: range,
    value: Callable[[TrafficMinute], float],
    empty: float | None,
) -> list[tuple[float, float | None]]:
    known = {} if seen is None else {one.minute: one for one in tuple(seen.minutes)}
    return [
        (minute * MINUTE_S, value(known[minute]) if minute in known else empty)
        for minute in minutes
    ]
