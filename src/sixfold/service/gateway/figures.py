"""Prometheus figures of the gateway: plain numbers that the event loop alone counts up, as the thin server's are."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sixfold.serve.metrics import BUCKETS_S, Latency

if TYPE_CHECKING:
    from sixfold.service.gateway.exchange import Exchange
    from sixfold.service.gateway.gateway import Gateway
    from sixfold.service.gateway.usage_meter import TokenCounts

PLACE: Final = ["tenant", "deployment", "version"]
Place = tuple[str, str, str]


@dataclass
class GatewayFigures(Collector):
    """Of one server process."""

    in_flight: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    _requests: Counter[tuple[Place, int]] = field(default_factory=Counter)
    _latency: dict[Place, Latency] = field(default_factory=dict)
    _tokens: Counter[tuple[Place, str]] = field(default_factory=Counter)

    def answered(self, one: Exchange, tokens: TokenCounts) -> None:
        """One request more."""
        place = one.who.tenant_id, one.name, one.version_id
        self._requests[place, one.status] += 1
        latency = self._latency.get(place)
        if latency is None:
            latency = self._latency[place] = Latency()
        latency.counts[bisect_left(BUCKETS_S, one.seconds)] += 1
        latency.sum_s += one.seconds
        if any(tokens):
            self._tokens[place, "in"] += tokens.read
            self._tokens[place, "out"] += tokens.written

    def text(self, gateway: Gateway) -> bytes:
        """In Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Both(self, gateway))
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """What was counted."""
        requests = CounterMetricFamily(
            "sixfold_gateway_requests",
            "Requests by tenant, deployment, version and status.",
            labels=[*PLACE, "status"],
        )
        for (place, status), count in tuple(self._requests.items()):
            requests.add_metric([*place, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "sixfold_gateway_request_seconds", "Seconds from request to answer.", labels=PLACE
        )
        for place, latency in tuple(self._latency.items()):
            seconds.add_metric([*place], latency.buckets(), latency.sum_s)
        yield seconds
        tokens = CounterMetricFamily(
            "sixfold_gateway_tokens", "Tokens that models read and wrote.", labels=[*PLACE, "way"]
        )
        for (place, way), count in tuple(self._tokens.items()):
            tokens.add_metric([*place, way], count)
        yield tokens
        refused = CounterMetricFamily(
            "sixfold_gateway_refused",
            "Requests that no replica was asked for, by the error's code.",
            labels=["code"],
        )
        for code, count in tuple(self.refused.items()):
            refused.add_metric([code], count)
        yield refused
        yield GaugeMetricFamily(
            "sixfold_gateway_in_flight", "Requests not yet answered.", value=self.in_flight
        )


class _Both(Collector):
    """What was counted, and what is there now."""

    def __init__(self, counted: GatewayFigures, gateway: Gateway) -> None:
        self.counted, self.gateway = counted, gateway

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield from self.counted.collect()
        replicas = GaugeMetricFamily(
            "sixfold_gateway_replicas", "Replicas that are up.", labels=PLACE
        )
        waiting = GaugeMetricFamily(
            "sixfold_gateway_waiting", "Requests that wait for a replica.", labels=PLACE
        )
        for (tenant, name), route in tuple(self.gateway.routes.items()):
            for version_id, pool in route.pools.items():
                place = [tenant, name, version_id]
                replicas.add_metric(place, len(pool.replicas))
                waiting.add_metric(place, pool.waiting + pool.batches.waiting)
        yield replicas
        yield waiting
        yield from _drift(self.gateway)


def _drift(gateway: Gateway) -> Iterator[Metric]:
    """Of every column when it was last looked at."""
    places = ["tenant", "deployment", "column", "role"]
    psi, ks, unseen, drifted = (
        GaugeMetricFamily(f"sixfold_gateway_drift_{name}", text, labels=places)
        for name, text in (
            ("psi", "Population stability index of a column."),
            ("ks", "Kolmogorov-Smirnov statistic of a column of numbers."),
            ("unseen", "Share of a column's values that training never met."),
            ("alert", "Whether a column is beyond the limits of its deployment: 0 or 1."),
        )
    )
    for (tenant, name), route in tuple(gateway.routes.items()):
        for column in route.drift.last:
            place = [tenant, name, column.column, column.role]
            psi.add_metric(place, column.psi)
            unseen.add_metric(place, column.unseen)
            drifted.add_metric(place, column.drifted)
            if column.ks is not None:
                ks.add_metric(place, column.ks)
    yield from (psi, ks, unseen, drifted)
