"""Prometheus figures of one server: requests by route and status, latency, rows, requests in
flight, and values that the model had not met in training.

Plain numbers that the event loop alone counts up, read when Prometheus asks: prometheus_client's
own counters take a lock and look up their labels on every request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import Response

from sixfold.bundle.predictions import Predictions
from sixfold.bundle.unfamiliar import Known, Tally, joined

BUCKETS_S: Final = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
TOGETHER: Final = 64  # requests of at most so many rows that are looked at together


class Latency:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound → how many took at most that long."""
        return list(zip([*map(str, BUCKETS_S), "+Inf"], accumulate(self.counts), strict=True))


class Metrics(Collector):
    """A registry of its own, so that several servers can live in one process. To be changed by the
    event loop alone.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.rows = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latency: dict[str, Latency] = {}
        self._known: Known | None = None
        self._tally: Tally | None = None
        self._waiting: list[Predictions] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request more."""
        self._requests[route, status] += 1
        latency = self._latency.get(route)
        if latency is None:
            latency = self._latency[route] = Latency()
        latency.counts[bisect_left(BUCKETS_S, seconds)] += 1
        latency.sum_s += seconds

    def predicted(self, predictions: Predictions) -> None:
        """The answers to one request more. What small ones asked for is looked at together, later:
        that costs little then.
        """
        self.rows += len(predictions)
        self._waiting.append(predictions)
        if len(self._waiting) >= TOGETHER or len(predictions) > TOGETHER:
            self._look()

    def _look(self) -> None:
        """Count what training had not, in all that waits."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if len(one) > TOGETHER:  # they were counted in a thread
                found = [
                    [column.unseen, column.outside, column.missing] for column in one.unfamiliar
                ]
                self._add(one.known, np.array(found, dtype=np.int64).reshape(-1, 3))
        small = [one for one in waiting if len(one) <= TOGETHER]
        if small and small[0].known is not None:
            self._add(small[0].known, small[0].known.tally(joined([one.feeds for one in small])))

    def _add(self, known: Known | None, tally: Tally) -> None:
        self._known, self._tally = known, tally if self._tally is None else self._tally + tally

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client writes."""
        requests = CounterMetricFamily(
            "sixfold_requests", "Requests by route and status.", labels=["route", "status"]
        )
        for (route, status), count in self._requests.items():
            requests.add_metric([route, str(status)], count)
        seconds = HistogramMetricFamily(
            "sixfold_request_seconds", "Seconds from request to answer.", labels=["route"]
        )
        for route, latency in self._latency.items():
            seconds.add_metric([route], latency.buckets(), latency.sum_s)
        yield requests
        yield seconds
        self._look()
        unfamiliar = CounterMetricFamily(
            "sixfold_unfamiliar_values",
            "Values that training had not, by column: unseen categories, numbers outside the range, missing values.",
            labels=["column", "kind"],
        )
        named = (
            ()
            if self._known is None or self._tally is None
            else self._known.named(self._tally, self.rows)
        )
        for column in named:
            for kind, count in column.counts().items():
                unfamiliar.add_metric([column.column, kind], count)
        yield unfamiliar
        yield CounterMetricFamily("sixfold_rows", "Rows predicted.", value=self.rows)
        yield GaugeMetricFamily(
            "sixfold_in_flight", "Requests not yet answered.", value=self.in_flight
        )

    def response(self) -> Response:
        """The figures in Prometheus' text format."""
        return Response(
            generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
