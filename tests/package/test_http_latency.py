"""The receipt's latency over HTTP: of a real server process, cheap, and never the end of a run."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sixfold
from short_figures.sitecustomize import USERS
from sixfold.cli.receipt_table import lines, text
from sixfold.package import http_latency
from sixfold.recipe.receipt import OverHttp

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle"))  # tiny_bundle
import tiny_bundle

over_http = USERS["over_http"]


def test_a_server_process_is_asked() -> None:
    found = over_http(tiny_bundle.parts(), None)
    assert found.why == ""
    assert found.requests >= http_latency.LEAST
    assert found.p50_ms is not None and found.p99_ms is not None
    assert 0 < found.p50_ms <= found.p99_ms < 1000


def refuse(*arguments: Any, **options: Any) -> Any:
    raise PermissionError(1, "Operation not permitted")


def not_in_time(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(http_latency, "START_S", 0.01)
    return "the server did not start in time"


def not_at_all(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(http_latency.sys, "executable", "/bin/false")
    return "the server did not start"


def no_process(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(subprocess, "Popen", refuse)
    return "[Errno 1] Operation not permitted"


def no_connection(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(socket, "create_connection", refuse)
    return "[Errno 1] Operation not permitted"


def no_folder(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(http_latency.tempfile, "TemporaryDirectory", refuse)
    return "[Errno 1] Operation not permitted"


def other_answers(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(http_latency, "example_row", lambda signature: {"size": "large"})
    return "the server answered 'HTTP/1.1 422 Unprocessable "


STARTS = [pytest.param(broken, marks=pytest.mark.slow) for broken in (no_connection, other_answers)]


@pytest.mark.parametrize("broken", [not_in_time, not_at_all, no_process, no_folder, *STARTS])
def test_what_stops_it_is_said(
    broken: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = broken(monkeypatch)
    found = over_http(tiny_bundle.parts(), None)
    assert (found.p50_ms, found.p99_ms, found.requests) == (None, None, 0)
    assert found.why.startswith(expected)


def test_a_budget_without_time_for_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", refuse)
    found = over_http(tiny_bundle.parts(), time.monotonic() + http_latency.NEEDED_S / 2)
    assert found == OverHttp(why="no time for it was left in budget.time")


def test_the_receipt_shows_it() -> None:
    measured = tiny_bundle.RECEIPT.model_copy(
        update={"http": OverHttp(p50_ms=0.4, p99_ms=0.9, requests=400)}
    )
    assert ("one row over HTTP, p50 / p99 ms", "-", "0.400 / 0.900") in lines(measured)
    missing = tiny_bundle.RECEIPT.model_copy(
        update={"http": OverHttp(why="the server did not start")}
    )
    assert (
        "Latency over HTTP was not measured: the server did not start."
        in text(missing).splitlines()
    )
    assert not any("HTTP" in name for name, _, _ in lines(missing))


@pytest.mark.slow
def test_a_run_measures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_latency, "over_http", over_http)
    rows = [{"x": number / 40, "y": str(number % 2)} for number in range(40)]
    pandas = pytest.importorskip("pandas")
    options: dict[str, Any] = {
        "build": {"family": "tree", "max_depth": 2},
        "evaluate": {"folds": 2},
        "data": {"holdout": 0},
    }
    run = sixfold.fit(pandas.DataFrame(rows), target="y", out=tmp_path / "run", **options)
    receipt = sixfold.load(run.bundle).receipt
    assert receipt.http is not None and receipt.http.p50_ms is not None
    assert receipt.how[-1].startswith("Over HTTP: one row a request, on one kept-alive connection")
    page = (run.bundle / "report.html").read_text(encoding="utf-8")
    assert "one row over HTTP" in page
    assert " ms over HTTP" in page
