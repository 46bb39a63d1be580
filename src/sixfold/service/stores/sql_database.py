"""The Database port over SQLAlchemy: a transaction is a connection and the tables over it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from sixfold.service.domain.errors import InvalidRequest, Unavailable
from sixfold.service.stores import migrate, sqlite_file
from sixfold.service.stores.deployment_rows import DEPLOYMENTS, DeploymentTable
from sixfold.service.stores.digests import digests_of
from sixfold.service.stores.faults import translated
from sixfold.service.stores.file_rows import FILES, FileTable
from sixfold.service.stores.job_rows import EVENTS, JOBS, EventTable, JobTable, WorkerTable
from sixfold.service.stores.people_rows import KEYS, USERS, KeyTable, TenantTable, UserTable
from sixfold.service.stores.record_rows import RecordTable
from sixfold.service.stores.registry_rows import MODELS, VERSIONS, ModelTable, VersionTable
from sixfold.service.stores.rows import StoreConnection, TenantRowsOf

WAIT_S: Final = 10  # for a lock, a connection, or a turn
# A transaction that stands still, of a server that was stopped, holds nobody up for long.
POSTGRESQL: Final = (
    f"-c lock_timeout={WAIT_S}s -c idle_in_transaction_session_timeout=60s -c synchronous_commit=on"
)


@dataclass(frozen=True)
class SqlTransaction:
    """The tables, over one connection."""

    store: StoreConnection

    @property
    def tenants(self) -> TenantTable:
        """Whose things there are."""
        return TenantTable(self.store)

    @property
    def users(self) -> UserTable:
        """Persons."""
        return UserTable(TenantRowsOf(self.store, USERS))

    @property
    def keys(self) -> KeyTable:
        """API keys."""
        return KeyTable(TenantRowsOf(self.store, KEYS))

    @property
    def files(self) -> FileTable:
        """What people brought."""
        return FileTable(TenantRowsOf(self.store, FILES))

    @property
    def jobs(self) -> JobTable:
        """The queue too."""
        return JobTable(TenantRowsOf(self.store, JOBS))

    @property
    def events(self) -> EventTable:
        """Of jobs."""
        return EventTable(TenantRowsOf(self.store, EVENTS))

    @property
    def workers(self) -> WorkerTable:
        """Machines."""
        return WorkerTable(self.store)

    @property
    def models(self) -> ModelTable:
        """With their aliases."""
        return ModelTable(TenantRowsOf(self.store, MODELS))

    @property
    def versions(self) -> VersionTable:
        """Of models."""
        return VersionTable(TenantRowsOf(self.store, VERSIONS))

    @property
    def deployments(self) -> DeploymentTable:
        """What answers."""
        return DeploymentTable(TenantRowsOf(self.store, DEPLOYMENTS))

    @property
    def records(self) -> RecordTable:
        """Audit, use, idempotency."""
        return RecordTable(self.store)

    def digests(self) -> frozenset[str]:
        """Of files, versions, and what jobs read and made: their inputs, run folders and results."""
        return digests_of(self.store)


class SqlDatabase:
    """One engine. `lock`: of a SQLite file, which has one writer at a time: in this process they wait in `_turn`."""

    def __init__(
        self, engine: Engine, where: str, lock: sqlite_file.SqliteLock | None = None
    ) -> None:
        self.engine = engine
        self.where = where
        self._lock = lock
        self._turn = threading.Lock()

    def transaction(self) -> AbstractContextManager[SqlTransaction]:
        """To read and write. SQLite: one at a time."""
        return self._begun(reads_only=False)

    def reading(self) -> AbstractContextManager[SqlTransaction]:
        """To read: waits for nobody, and nobody waits for it."""
        return self._begun(reads_only=True)

    def check(self) -> None:
        """Raises Unavailable."""
        self._must_be_there()
        with translated(self.where), self.engine.connect() as connection:
            found = migrate.revision_of(connection)
        if found != migrate.newest():
            raise Unavailable(
                self.where,
                f"a database of revision {migrate.newest()}",
                f"revision {found}: another Sixfold changed it",
                "Start this server again with the newer Sixfold.",
            )

    def close(self) -> None:
        """Connections first, then the lock."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    def _must_be_there(self) -> None:
        if self._lock is not None:
            self._lock.check()

    @contextmanager
    def _begun(self, reads_only: bool) -> Iterator[SqlTransaction]:
        self._must_be_there()
        with (
            translated(self.where),
            self._one_at_a_time(reads_only),
            self._connected(reads_only) as connection,
            connection.begin(),
        ):
            yield SqlTransaction(StoreConnection(connection, locking=not reads_only))

    @contextmanager
    def _one_at_a_time(self, reads_only: bool) -> Iterator[None]:
        """SQLite has one writer, and a database in memory one connection."""
        shared = self.engine.dialect.name != "sqlite"
        if shared or (reads_only and self.engine.url.database):
            yield
            return
        if not self._turn.acquire(timeout=WAIT_S):
            raise Unavailable(
                self.where,
                f"a turn to write within {WAIT_S} s",
                "that others are writing",
                "Ask again.",
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _connected(self, reads_only: bool) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if reads_only and self.engine.dialect.name == "postgresql":
                options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                yield connection.execution_options(**options)
            else:
                yield connection.execution_options(reads_only=reads_only)


def open_database(url: str) -> SqlDatabase:
    """`sqlite:///service.db`, `postgresql+psycopg://user:password@host/name`, or `sqlite://` (memory, for tests). Makes what
    is missing and brings an older database up to date. Raises ServiceError.
    """
    parsed = _parsed(url)
    where = parsed.render_as_string(hide_password=True)
    if parsed.drivername == "sqlite":
        return _open_sqlite(Path(parsed.database) if parsed.database else None, where)
    engine = create_engine(
        parsed,
        pool_pre_ping=True,
        pool_timeout=WAIT_S,
        connect_args={"connect_timeout": 5, "options": POSTGRESQL},
    )
    return _up_to_date(SqlDatabase(engine, where))


def _open_sqlite(path: Path | None, where: str) -> SqlDatabase:
    lock = None
    if path is not None:
        lock = sqlite_file.SqliteLock(path)
        lock.take()
    try:
        if path is not None:
            sqlite_file.inspect(path)
        made = _up_to_date(SqlDatabase(sqlite_file.sqlite_engine(path), where, lock))
        if lock is not None:
            lock.opened()
        return made
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def _up_to_date(database: SqlDatabase) -> SqlDatabase:
    try:
        with translated(database.where), database.engine.begin() as connection:
            migrate.upgrade(connection, database.where)
    except BaseException:
        database.close()
        raise
    return database


def _parsed(url: str) -> URL:
    expected = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    remedy = "Write such an address."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidRequest("the database", expected, "no address of this form", remedy) from error
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise InvalidRequest("the database", expected, parsed.drivername, remedy)
    return parsed
