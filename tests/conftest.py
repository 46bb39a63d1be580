"""For all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sixfold.compress.measure import compare
from sixfold.parts.table import Table
from sixfold.recipe.receipt import Cost, OverHttp

TIMED_S, EXPLAINED_S = 0.1, 1.0  # 4 and 10 s at most where users wait


@pytest.fixture(scope="session", autouse=True)
def short_figures() -> Iterator[None]:
    """Runs in this process start no server to time it, and time and explain their model for a
    moment: tests/package/test_http_latency.py, tests/compress/test_measure.py and
    tests/package/test_explanation.py take what users have, as all commands do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sixfold.package.http_latency.over_http",
            lambda parts, deadline: OverHttp(why="this is a test"),
        )
        patch.setattr("sixfold.package.receipt.compare", briefly)
        patch.setattr("sixfold.package.explanation.MOST_S", EXPLAINED_S)
        yield


def briefly(before: bytes, after: bytes, table: Table, most_s: float) -> tuple[Cost, Cost]:
    return compare(before, after, table, min(most_s, TIMED_S))
