"""Traces, where somebody takes them: `use` is called once by the command line; until then a span costs a look, and nothing of
OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

Attribute = str | int | float | bool
INTERNAL: Final = "internal"
SERVER: Final = "server"
CLIENT: Final = "client"


class TraceSpan(Protocol):
    """A piece of work that has begun."""

    def rename(self, name: str) -> None:
        """What it is called from now on."""

    def set(self, name: str, value: Attribute) -> None:
        """An attribute, by OpenTelemetry's name where it has one: `http.route`."""

    def fail(self, why: str) -> None:
        """It did not end well."""

    def end_at(self, seconds: float) -> None:
        """It ended then (seconds since 1970), and not where its block ends."""


class Tracer(Protocol):
    """Who takes the spans."""

    def span(
        self, name: str, kind: str, carried: Mapping[str, str] | None, began_s: float | None
    ) -> AbstractContextManager[TraceSpan]:
        """Within the span around it, or the one that `carried` names. `began_s`: seconds since 1970, left out: now."""

    def headers(self) -> dict[str, str]:
        """The span around, as headers that carry it to another process: `traceparent`, `tracestate`."""


@dataclass(frozen=True)
class NoSpan:
    """Nobody takes it."""

    def rename(self, name: str) -> None:
        """Nothing."""

    def set(self, name: str, value: Attribute) -> None:
        """Nothing."""

    def fail(self, why: str) -> None:
        """Nothing."""

    def end_at(self, seconds: float) -> None:
        """Nothing."""


_NO_SPAN: Final = nullcontext(NoSpan())
_tracer: Tracer | None = None


@contextmanager
def taken_by(tracer: Tracer) -> Iterator[None]:
    """Spans go to it, in here."""
    global _tracer
    _tracer = tracer
    try:
        yield
    finally:
        _tracer = None


def are_taken() -> bool:
    """Whether anybody takes spans."""
    return _tracer is not None


def span(
    name: str,
    kind: str = INTERNAL,
    carried: Mapping[str, str] | None = None,
    began_s: float | None = None,
) -> AbstractContextManager[TraceSpan]:
    """A piece of work: with what is called within it, in threads that it starts with its context, too."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, kind, carried, began_s)


def headers() -> dict[str, str]:
    """What carries the span around to another process; nothing where nobody takes spans."""
    return {} if _tracer is None else _tracer.headers()
