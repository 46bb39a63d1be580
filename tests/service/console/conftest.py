from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bundle"))  # tiny_bundle
sys.path.insert(0, str(Path(__file__).parents[2] / "serve"))  # browser
sys.path.insert(0, str(Path(__file__).parent))  # console_worlds

from console_worlds import Site, site


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made
