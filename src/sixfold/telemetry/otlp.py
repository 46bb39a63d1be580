"""Traces to a collector, by OpenTelemetry's protocol over HTTP. The extra `otel`; its environment variables say where and how
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and the others of its
specification).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sixfold import __version__
from sixfold.core.redacted import redacted
from sixfold.telemetry import traces
from sixfold.telemetry.traces import Attribute

KINDS: Final = {
    traces.INTERNAL: SpanKind.INTERNAL,
    traces.SERVER: SpanKind.SERVER,
    traces.CLIENT: SpanKind.CLIENT,
}
NS: Final = 1e9
# For one batch: a collector that is away holds up the end of a server for no longer. OTEL_EXPORTER_OTLP_TIMEOUT says otherwise.
EXPORT_S: Final = 2.0
TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_context: Final = TraceContextTextMapPropagator()


@contextmanager
def exported(process: str) -> Iterator[None]:
    """Spans of this process (sixfold-server, sixfold-worker, sixfold-replica) go to the collector, the last ones at its end."""
    named = os.environ.get("OTEL_SERVICE_NAME") or process
    resource = Resource.create({SERVICE_NAME: named, SERVICE_VERSION: __version__})
    provider = TracerProvider(resource=resource)
    timeout_s = None if any(os.environ.get(name) for name in TIMEOUTS) else EXPORT_S
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout_s)))
    try:
        with traces.taken_by(OtlpTracer(provider)):
            yield
    finally:
        provider.shutdown()


class OtlpTracer:
    """What `traces` asks."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("sixfold", __version__)

    @contextmanager
    def span(
        self, name: str, kind: str, carried: Mapping[str, str] | None, began_s: float | None
    ) -> Iterator[traces.TraceSpan]:
        """See `traces.Tracer`. An error's message goes along without secrets."""
        context = None if carried is None else _context.extract(carried)
        began = None if began_s is None else int(began_s * NS)
        made = self._tracer.start_span(name, context, KINDS[kind], start_time=began)
        found = OtlpSpan(made)
        try:
            with use_span(made, record_exception=False, set_status_on_exception=False):
                yield found
        except Exception as error:
            found.fail(f"{type(error).__name__}: {error}")
            raise
        finally:
            made.end(found.ended)

    def headers(self) -> dict[str, str]:
        """See `traces.Tracer`."""
        found: dict[str, str] = {}
        _context.inject(found)
        return found


@dataclass
class OtlpSpan:
    """What `traces` gives. `ended`: nanoseconds since 1970, None: when its block ends."""

    made: OpenSpan
    ended: int | None = None

    def rename(self, name: str) -> None:
        """See `traces.TraceSpan`."""
        self.made.update_name(name)

    def set(self, name: str, value: Attribute) -> None:
        """See `traces.TraceSpan`."""
        self.made.set_attribute(name, redacted(value) if isinstance(value, str) else value)

    def fail(self, why: str) -> None:
        """See `traces.TraceSpan`."""
        self.made.set_status(Status(StatusCode.ERROR, redacted(why)[:500]))

    def end_at(self, seconds: float) -> None:
        """See `traces.TraceSpan`."""
        self.ended = int(seconds * NS)
