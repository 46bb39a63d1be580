"""Brings a database up to date: the revisions in `migrations/versions`, all of them in one transaction."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from sixfold.service.domain.errors import ServiceError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
APPLICATION: Final = (
    0x53697866  # "Sixf": in the header of a SQLite file; the number of a lock in PostgreSQL
)


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def scripts() -> ScriptDirectory:
    """The revisions that this Sixfold knows."""
    return ScriptDirectory.from_config(_config())


def newest() -> str:
    """The revision that this Sixfold works with."""
    return scripts().get_current_head() or ""


def revision_of(connection: Connection) -> str | None:
    """None where there is nothing yet."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, where: str, target: str = "head") -> None:
    """To this Sixfold's revision, or to an older one (for tests). Raises ServiceError for a newer or foreign database. Of two
    servers that start at once, one upgrades and the other waits.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": APPLICATION})
    found = revision_of(connection)
    if found == newest() and target == "head":
        return  # Alembic would read all revisions to find that there is nothing to do
    if found is None:
        _must_be_empty(connection, where)
    elif found not in {script.revision for script in scripts().walk_revisions()}:
        raise ServiceError(
            where,
            f"a database of revision {newest()} or older",
            f"revision {found[:40]}, of a newer Sixfold",
            "Start it with that Sixfold, or restore a backup from before.",
        )
    command.upgrade(_config(connection), target)


def _must_be_empty(connection: Connection, where: str) -> None:
    if set(inspect(connection).get_table_names()) - {"alembic_version"}:
        raise ServiceError(
            where,
            "an empty database, or one of Sixfold",
            "tables of another program",
            "Make a database of its own for Sixfold.",
        )
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
