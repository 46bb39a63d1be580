from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bundle"))  # tiny_bundle
sys.path.insert(0, str(Path(__file__).parents[2] / "serve"))  # browser
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))  # console_worlds
sys.path.insert(0, str(Path(__file__).parent))  # identity_worlds

from identity_worlds import ProviderProcess, SignOnWorld, provider_process, sign_on_world

from sixfold.service.domain.people import Scope
from sixfold.service.domain.sign_on import SignOnRules


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderProcess]:
    with provider_process() as made:
        yield made


@pytest.fixture
def provider(running: ProviderProcess) -> ProviderProcess:
    """Honest, and up."""
    if running.process is None:
        running.start()
    running.twist()
    return running


@pytest.fixture
def here(tmp_path: Path, provider: ProviderProcess) -> Iterator[SignOnWorld]:
    """Whoever signs on may read."""
    rules = SignOnRules(scopes=frozenset({Scope.READ}))
    with sign_on_world(tmp_path, provider, rules) as made:
        yield made
