"""Databases of older Sixfolds, with rows in them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from sixfold.service.domain.errors import ServiceError
from sixfold.service.domain.jobs import JobSpec
from sixfold.service.ports.pages import PageQuery
from sixfold.service.stores import migrate, open_database, tables
from sixfold.service.stores.sql_database import SqlDatabase


def test_the_revisions_make_the_tables_that_the_code_knows(database: SqlDatabase) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def test_a_database_of_the_first_revision_is_brought_up_to_date(new_url: Callable[[], str]) -> None:
    url = new_url()
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate.upgrade(connection, url, "0001")
        connection.execute(
            text("INSERT INTO tenants (id, name, details) VALUES ('t', 'one', :details)"),
            {"details": json.dumps({"created_at": 1.0, "quota": {}})},
        )
        for name, kind in (("job-1", "run"), ("job-2", "fine-tune")):
            spec = {"recipe": "a: 1", "kind": kind}
            connection.execute(
                text(
                    "INSERT INTO jobs (tenant_id, id, name, state, priority, attempt, beat, revision,"
                    " details) VALUES ('t', :id, 'j', 'queued', 0, 0, 0, 0, :details)"
                ),
                {"id": name, "details": json.dumps({"spec": spec, "created_at": 1.0})},
            )
        connection.execute(
            text(
                "INSERT INTO models (tenant_id, id, name, details) VALUES ('t', 'm', 'm', :details)"
            ),
            {"details": json.dumps({"created_at": 1.0})},
        )
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO model_versions (tenant_id, id, model_id, number, tree, state, details)"
                    " VALUES ('t', :id, 'm', :number, 'x', 'active', :details)"
                ),
                {
                    "id": f"v{number}",
                    "number": number,
                    "details": json.dumps({"bytes": 500 * number, "created_at": 1.0}),
                },
            )
    engine.dispose()
    database = open_database(url)
    database.check()
    with database.transaction() as rows:
        tuned = rows.jobs.page("t", PageQuery(where={"kind": "fine-tune"})).rows
        assert [(job.id, job.spec) for job in tuned] == [
            ("job-2", JobSpec("a: 1", kind="fine-tune"))
        ]
        assert rows.tenants.get("t").quota.jobs_waiting == 1000
        rows.jobs.save(tuned[0])
        assert [rows.versions.get("t", one).bytes for one in ("v1", "v2")] == [500, 1000]
        assert rows.files.stored_bytes("t") == 1500
    database.close()


def test_a_database_of_another_program_is_left_alone(new_url: Callable[[], str]) -> None:
    url = new_url()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE songs (name TEXT)"))
    engine.dispose()
    with pytest.raises(ServiceError, match="another program"):
        open_database(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM songs")).scalar_one() == 0
    engine.dispose()
