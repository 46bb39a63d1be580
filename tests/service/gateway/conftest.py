from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "bundle")]

from gateway_worlds import GatewayWorld, gateway_world  # noqa: E402


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path) as world:
        yield world
