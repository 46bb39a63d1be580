from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle"))  # tiny_bundle
sys.path.insert(0, str(Path(__file__).parent))  # server_process


class Refusing(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """In place of the one in C, whose methods cannot be replaced."""

    def find_class(self, module: str, name: str) -> Any:
        raise AssertionError(f"something was unpickled: {module}.{name}")


def refuse(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("something was unpickled")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_unpickled() -> Iterator[None]:
    """The whole suite of the server passes while every way to unpickle raises."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickle, "Unpickler", Refusing)
        patch.setattr(pickle, "load", refuse)
        patch.setattr(pickle, "loads", refuse)
        yield
