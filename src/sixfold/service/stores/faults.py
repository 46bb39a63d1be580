"""What a database refuses, in the four parts of an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import exc

from sixfold.service.domain.errors import Conflict, InvalidRequest, ServiceError, Unavailable

UNSTORABLE: Final = (OverflowError, UnicodeEncodeError)
# What SQLite says → what is expected, what to do.
SQLITE: Final = {
    sqlite3.SQLITE_FULL: (
        "room on the disk",
        "Free some space: what was kept before is whole, and the service goes on by itself.",
    ),
    sqlite3.SQLITE_READONLY: (
        "a file and a folder that can be written",
        "Change their permissions, or choose another place.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "a file that can be opened, in a folder that is there",
        "Look at the path and its permissions.",
    ),
    sqlite3.SQLITE_IOERR: (
        "a disk that can be read and written",
        "Look at the disk and its free space; the service goes on by itself once it works.",
    ),
    sqlite3.SQLITE_BUSY: (
        "a database that nobody else holds for long",
        "Ask again; look for another program that has this file open.",
    ),
}
DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raises ServiceError for what the database raises. `where`: the database, without its password."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(
            where, "a free connection", "that all are in use", "Ask again later."
        ) from error
    except exc.DBAPIError as error:
        raise _told(where, error) from error
    except exc.SQLAlchemyError as error:
        raise ServiceError(
            where, "a statement that the database takes", _line(error), "Tell the operator."
        ) from error
    except sqlite3.Error as error:
        raise _sqlite(where, error) from error


def _told(where: str, error: exc.DBAPIError) -> ServiceError:
    cause = error.orig
    if isinstance(error, exc.DataError) or isinstance(cause, UNSTORABLE):
        return InvalidRequest(
            "the request", "numbers of at most 64 bits, and text", _line(cause), "Send others."
        )
    if isinstance(error, exc.IntegrityError):
        return _broken_rule(cause)
    if isinstance(cause, sqlite3.Error):
        return _sqlite(where, cause)
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.InternalError):
        return Unavailable(
            where,
            "a database that answers",
            _line(cause),
            "Ask again; where it stays so, look at the database's log.",
        )
    return ServiceError(
        where,
        "a database of this Sixfold, and the right to use it",
        _line(cause),
        "Look at the database's log and the user's permissions.",
    )


def _broken_rule(cause: BaseException | None) -> Conflict:
    of_others = isinstance(cause, ForeignKeyViolation) or (
        isinstance(cause, sqlite3.IntegrityError)
        and cause.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
    )
    if of_others:
        return Conflict(
            "the request",
            "things that are there, and none that others still need",
            "one that is missing, or in use",
            "Look at what belongs to it.",
        )
    return Conflict(
        "the request", "names and ids that are free", "one that is taken", "Choose another name."
    )


def _sqlite(where: str, cause: sqlite3.Error) -> ServiceError:
    code = cause.sqlite_errorcode & 0xFF if isinstance(cause, sqlite3.DatabaseError) else 0
    if code in DAMAGED:
        return damaged(where, _line(cause))
    expected, remedy = SQLITE.get(
        code, ("a database that answers", "Ask again; where it stays so, look at the file.")
    )
    return Unavailable(where, expected, _line(cause), remedy)


def damaged(where: str, found: str) -> ServiceError:
    """A file that is no whole database of Sixfold."""
    return ServiceError(
        where, "a whole database of Sixfold", found, "Restore a backup, or choose another file."
    )


def _line(error: BaseException | None) -> str:
    """The first line of what it says, or its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
