"""Traces, as a collector receives them; and that nothing of them is there where nobody asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest
import tiny_bundle
from otlp_receiver import collector
from starlette.types import Receive, Scope, Send

from sixfold.cli import OTLP
from sixfold.telemetry import logs, otlp, traces
from sixfold.telemetry.requests import ObservedApp

GIVEN = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
IMPORTED = """
import sys
from sixfold.cli import group, observed
with observed("json", "sixfold-server"):
    {what}
print([name for name in sys.modules if name.startswith({names})])
"""


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    with traces.span("inner") as span:
        span.set("sixfold.word", "sf_" + "a" * 49)
        if scope["path"] == "/breaks":
            raise RuntimeError("password=hunter2")
    status = 503 if scope["path"] == "/away" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def ask(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(ObservedApp(_app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(path, headers=headers or {})

    return anyio.run(asked)


def test_a_request_is_a_span_of_the_trace_that_it_came_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        with otlp.exported("sixfold-server"):
            answer = ask("/models?key=sf_secret", {"traceparent": GIVEN, "x-request-id": "mine-1"})
            alone = ask("/other")
            ask("/livez")
        assert there.paths == {"/v1/traces"}
        assert answer.headers["x-request-id"] == "mine-1"
        assert alone.headers["x-request-id"].startswith("req-")
    first, other = there.named("GET")
    assert (first.trace, first.parent, first.kind) == ("ab" * 16, "cd" * 8, 2)
    assert first.process == "sixfold-server"
    assert first.attributes["url.path"] == "/models"
    assert first.attributes["http.response.status_code"] == 200
    assert first.attributes["sixfold.request_id"] == "mine-1"
    assert other.parent == "" and other.trace != first.trace
    inner = {one.trace: one for one in there.named("inner")}
    assert inner[first.trace].parent == first.id
    assert inner[first.trace].attributes["sixfold.word"] == "[redacted]"
    assert len(there.named("inner")) == 3  # the probe's, too: alone


def test_what_goes_wrong_is_marked_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        with otlp.exported("sixfold-server"):
            ask("/breaks")
            ask("/away")
        found = {one.attributes["url.path"]: one for one in there.named("GET")}
        assert found["/breaks"].failed and found["/away"].failed
        assert "hunter2" not in repr(there.spans)


def test_a_span_may_have_been_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        with (
            otlp.exported("sixfold-worker"),
            traces.span("job run", carried={"traceparent": GIVEN}),
        ):
            with traces.span("job stage", began_s=1000.0) as span:
                span.end_at(1002.5)
            carried = traces.headers()
        (stage,), (run,) = there.named("job stage"), there.named("job run")
        assert (stage.began_s, stage.ended_s, stage.parent) == (1000.0, 1002.5, run.id)
        assert carried == {"traceparent": f"00-{'ab' * 16}-{run.id}-01"}


def test_a_collector_that_is_away_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as there:
        url = there.url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)  # nobody listens there any more
    with logs.written(None), otlp.exported("sixfold-server"):
        assert ask("/other").status_code == 200


def test_without_a_collector_a_span_is_nothing() -> None:
    assert not traces.are_taken() and traces.headers() == {}
    with traces.span("x") as first, traces.span("y") as second:
        assert first is second


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("import sixfold.serve.run", ("opentelemetry", "google", "requests", "authlib", "joserfc")),
        # FastAPI brings and imports the interface, which does nothing by itself.
        (
            "import sixfold.service.server",
            (
                "opentelemetry.sdk",
                "opentelemetry.exporter",
                "google",
                "requests",
                "authlib",
                "joserfc",
            ),
        ),
    ],
)
def test_nothing_of_it_is_imported_where_nobody_asked(
    what: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTLP:
        monkeypatch.delenv(name, raising=False)
    code = IMPORTED.format(what=what, names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_thin_server_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sixfold serve`, as the gateway starts it."""
    bundle = tiny_bundle.make(tmp_path / "b")
    with collector() as there, (tmp_path / "log").open("w") as log:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        command = [
            sys.executable,
            "-m",
            "sixfold",
            "serve",
            str(bundle),
            "--port",
            "0",
            "--log",
            "json",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split("answers on ")[1].split()[0]
            row = [tiny_bundle.raw(size=1.0)]
            headers = {"traceparent": GIVEN, "x-request-id": "mine-2"}
            answer = httpx.post(f"{url}/predict", json=row, headers=headers)
            process.terminate()
        (found,) = there.named("POST")
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "mine-2"
    assert (found.process, found.trace) == ("sixfold-replica", "ab" * 16)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert '"request_id": "mine-2"' in line and '"path": "/predict"' in line
