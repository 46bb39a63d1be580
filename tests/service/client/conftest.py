from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bundle"))  # tiny_bundle
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))  # console_worlds

from console_worlds import served
from service_worlds import World, world

from sixfold.service.api.app import create
from sixfold.service.client.transport import Transport


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command leaves its connections to its end, and here it does not end."""
    made, begin = list[Transport](), Transport.__post_init__

    def kept(self: Transport) -> None:
        begin(self)
        made.append(self)

    monkeypatch.setattr(Transport, "__post_init__", kept)
    yield
    for one in made:
        one.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A service that answers over HTTP, and the operator's key in the environment."""
    with world(tmp_path) as made, served(create(made.service, tmp_path.resolve())) as address:
        monkeypatch.setenv("SIXFOLD_SERVER", address)
        monkeypatch.setenv("SIXFOLD_API_KEY", made.key)
        yield made
