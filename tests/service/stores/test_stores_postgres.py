"""What only a server of databases can do wrong: to go away."""

from __future__ import annotations

import signal

import psycopg
import pytest
from postgres_server import PostgresServer, postgres_server

from sixfold.service.domain.errors import Unavailable
from sixfold.service.domain.people import Tenant
from sixfold.service.stores import open_database

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_lost_connection_is_unavailable_and_the_next_transaction_connects(
    sign: signal.Signals,
) -> None:
    with postgres_server() as own:
        if own is None:
            pytest.skip("PostgreSQL is not installed")
        database = open_database(own.create("lost"))
        with database.transaction() as rows:
            rows.tenants.add(Tenant("tenant-1", "one", 1.0))
        with pytest.raises(Unavailable), database.transaction() as rows:
            rows.tenants.add(Tenant("tenant-2", "two", 1.0))
            own.stop(sign)
            rows.tenants.get("tenant-1")
        with pytest.raises(Unavailable, match="expected a database that answers"):
            database.check()
        own.start()
        with database.transaction() as rows:
            assert rows.tenants.get("tenant-1") is not None
            assert rows.tenants.get("tenant-2") is None
        database.check()
        database.close()


def test_a_server_that_is_not_there_is_told_without_a_password() -> None:
    with pytest.raises(Unavailable) as error:
        open_database("postgresql+psycopg://sixfold:secret@127.0.0.1:9/none")
    assert "secret" not in str(error.value)
    assert "sixfold:***@127.0.0.1:9/none" in str(error.value)


def test_a_commit_is_synced(postgres: PostgresServer) -> None:
    database = open_database(postgres.create("synced"))
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "10s"
    database.close()


def test_who_waits_too_long_for_a_row_is_told(postgres: PostgresServer) -> None:
    """A server that was stopped in the middle of a transaction holds it; `lock_timeout` ends the wait."""
    url = postgres.create("held")
    database = open_database(url)
    with database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0))
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("SELECT * FROM tenants FOR UPDATE")
        with pytest.raises(Unavailable, match="lock timeout"), database.transaction() as rows:
            rows.tenants.get("tenant-1")
    database.close()
