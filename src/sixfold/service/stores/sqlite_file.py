"""A SQLite file: one server at a time, synced at every commit, and none that is damaged or another program's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sixfold.service.domain.errors import Conflict, ServiceError, Unavailable
from sixfold.service.stores.faults import damaged, translated
from sixfold.service.stores.migrate import APPLICATION

HEADER: Final = b"SQLite format 3\0"
BUSY_S: Final = 10.0  # for another program, such as a backup, that has the file for a moment


class SqliteLock:
    """Of a file `NAME.lock` beside the database; the operating system gives it back when the process ends."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._handle: int | None = None
        self._opened: tuple[int, int] | None = None

    def take(self) -> None:
        """Raises Conflict where another server has it, and ServiceError where no file can be made there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise ServiceError(
                str(self._path),
                "a folder that is there and can be written",
                error.strerror or str(error),
                "Make the folder, change its permissions, or choose another place.",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise Conflict(
                str(self._path),
                "a database that no other server uses",
                "a lock of another one",
                "Stop the other server, or take PostgreSQL, which several servers may share.",
            ) from error
        self._handle = handle

    def opened(self) -> None:
        """The database's file is this one from now on. Raises OSError."""
        self._opened = _identity(self._database)

    def check(self) -> None:
        """Raises Unavailable where it is gone or another one: what is open would be written to a file that nobody finds, and a
        new connection would make an empty one.
        """
        found = "none"
        with contextlib.suppress(OSError):
            if self._opened in (None, _identity(self._database)):
                return
            found = "another one"
        raise Unavailable(
            str(self._database),
            "the file that this server opened",
            found,
            "Put it back, and the service goes on; or stop the server and restore a backup.",
        )

    def release(self) -> None:
        """Also where it was not taken."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def sqlite_engine(path: Path | None) -> Engine:
    """Of a file; of memory where there is none (tests)."""
    if path is None:
        options: dict[str, Any] = {"poolclass": StaticPool}
    else:
        options = {"pool_timeout": BUSY_S}
    engine = create_engine(
        URL.create("sqlite", database=None if path is None else str(path)),
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        **options,
    )
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    return engine


def inspect(path: Path) -> None:
    """Raises ServiceError for a file that is damaged or another program's; one that is missing or empty is made into ours."""
    where = str(path)
    with translated(where):
        if _is_new(path):
            return
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != APPLICATION:
                raise damaged(where, "a database of another program")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise damaged(where, str(found).replace("\n", ", "))


def _is_new(path: Path) -> bool:
    """Raises ServiceError for what is no SQLite file."""
    try:
        with path.open("rb") as file:
            head = file.read(len(HEADER))
    except FileNotFoundError:
        return True
    except OSError as error:
        raise ServiceError(
            str(path),
            "a file that can be read",
            error.strerror or str(error),
            "Change its permissions, or choose another place.",
        ) from error
    if head and head != HEADER:
        raise damaged(str(path), "a file of another kind")
    return not head


def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """No transaction but those that we begin; WAL, so that readers do not wait; a commit is on the disk when it returns."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begun(connection: Connection) -> None:
    """A transaction that writes holds the file from its start; one that only reads sees it as it was at its start."""
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {int(reads)}")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
