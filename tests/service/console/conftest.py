from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
for folder in (TESTS / "bundle", TESTS / "serve", Path(__file__).parent):
    sys.path.insert(0, str(folder))  # tiny_bundle, browser, console_worlds

from console_worlds import Site, site  # noqa: E402


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made
