"""State: one transaction at a time; all that a use case reads and writes is in one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sixfold.service.ports.deployments import DeploymentRows
from sixfold.service.ports.files import FileRows
from sixfold.service.ports.jobs import EventRows, JobRows, WorkerRows
from sixfold.service.ports.people import KeyRows, TenantRows, UserRows
from sixfold.service.ports.records import RecordRows
from sixfold.service.ports.registry import ModelRows, VersionRows


class Transaction(Protocol):
    """What is read in it by id or name stays as it was read, until it ends; all of what is written in it is kept, or nothing."""

    @property
    def tenants(self) -> TenantRows: ...
    @property
    def users(self) -> UserRows: ...
    @property
    def keys(self) -> KeyRows: ...
    @property
    def files(self) -> FileRows: ...
    @property
    def jobs(self) -> JobRows: ...
    @property
    def events(self) -> EventRows: ...
    @property
    def workers(self) -> WorkerRows: ...
    @property
    def models(self) -> ModelRows: ...
    @property
    def versions(self) -> VersionRows: ...
    @property
    def deployments(self) -> DeploymentRows: ...
    @property
    def records(self) -> RecordRows: ...
    def digests(self) -> frozenset[str]:
        """All that rows of any tenant name: what the artifact store must keep (of trees, their files too)."""


class Database(Protocol):
    """SQLite or PostgreSQL. A lost connection is an Unavailable; the next transaction connects again."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Writes are kept when the block ends without an error, synced to disk, and undone otherwise."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """One moment of all of it, for reading alone; waits for no writer, and no writer waits for it."""

    def check(self) -> None:
        """Raises Unavailable with what is wrong: for `/readyz`."""

    def close(self) -> None:
        """Let go of connections and of the lock on a SQLite file."""
