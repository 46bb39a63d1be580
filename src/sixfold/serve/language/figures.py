"""Prometheus figures of a server that generates: tokens, and answers by their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sixfold.serve.limits import Gate


class TokenFigures(Collector):
    """To be changed by the event loop alone."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.prompt_tokens = self.generated_tokens = 0
        self.ends: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client writes."""
        yield CounterMetricFamily(
            "sixfold_prompt_tokens", "Tokens of prompts.", value=self.prompt_tokens
        )
        yield CounterMetricFamily(
            "sixfold_generated_tokens", "Tokens generated.", value=self.generated_tokens
        )
        ends = CounterMetricFamily(
            "sixfold_answers", "Answers by why they ended.", labels=["finish"]
        )
        for finish, count in self.ends.items():
            ends.add_metric([finish], count)
        yield ends
        yield GaugeMetricFamily(
            "sixfold_generating", "Answers in work or waiting.", value=self._gate.inside
        )
