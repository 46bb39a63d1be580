"""For all tests."""

from __future__ import annotations

import pytest

from sixfold.recipe.receipt import OverHttp


@pytest.fixture(autouse=True)
def no_server_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process start no server to time it: tests/test_http_latency.py does, and the
    commands of tests/cli.
    """
    monkeypatch.setattr(
        "sixfold.package.http_latency.over_http",
        lambda parts, deadline: OverHttp(why="this is a test"),
    )
