from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sixfold.service.stores import open_artifacts, open_database
from sixfold.service.stores.artifacts import BlobArtifacts
from sixfold.service.stores.sql_database import SqlDatabase

COUNT = itertools.count()
URL = Callable[[], str]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Of an empty database, each time it is called."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'{next(COUNT)}.db'}"
    server = request.getfixturevalue("postgres")
    return lambda: server.create(f"of_{os.getpid()}_{next(COUNT)}")


@pytest.fixture
def database(new_url: URL) -> Iterator[SqlDatabase]:
    database = open_database(new_url())
    yield database
    database.close()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def artifacts(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BlobArtifacts:
    if request.param == "folder":
        return open_artifacts(tmp_path / "artifacts")
    for name, value in request.getfixturevalue("s3").environment.items():
        monkeypatch.setenv(name, value)
    store = open_artifacts(f"s3://sixfold/of-{next(COUNT)}")
    store.blobs._system.makedirs("sixfold", exist_ok=True)
    return store
