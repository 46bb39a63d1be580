"""The tables. A column is what is searched, sorted or counted; what is only read back stands in `details`, as JSON.

`tenant_id` is in every table and unique key, but for workers, which serve all tenants, and for three keys by which a tenant
is found: its name, a person's sign-on, the hash of an API key.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    column,
)
from sqlalchemy.schema import SchemaItem

from sixfold.service.stores.columns import JsonText, PlainText, WholeNumber

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def text(name: str, nullable: bool = False) -> Column[str]:
    """Compared byte by byte."""
    return Column(name, PlainText, nullable=nullable)


def number(name: str, nullable: bool = False) -> Column[int]:
    """64 bits."""
    return Column(name, WholeNumber, nullable=nullable)


def seconds(name: str, nullable: bool = False) -> Column[float]:
    """Since 1970."""
    return Column(name, Double, nullable=nullable)


def tenant() -> Column[str]:
    """Whose row it is."""
    return Column("tenant_id", PlainText, ForeignKey("tenants.id"), nullable=False)


def details() -> Column[Any]:
    """What nobody searches for."""
    return Column("details", JsonText, nullable=False)


def of_tenant(name: str, *items: SchemaItem) -> Table:
    """A table of things with an id, each of one tenant."""
    key = PrimaryKeyConstraint("tenant_id", "id")
    return Table(name, metadata, tenant(), text("id"), *items, details(), key)


tenants: Final = Table(
    "tenants",
    metadata,
    Column("id", PlainText, primary_key=True),
    text("name"),
    number("quota_jobs_running", nullable=True),
    number("quota_memory_bytes", nullable=True),
    details(),
    UniqueConstraint("name"),
)
users: Final = of_tenant(
    "users",
    text("name"),
    text("subject", nullable=True),
    UniqueConstraint("tenant_id", "name"),
    UniqueConstraint("subject"),
)
keys: Final = of_tenant(
    "keys",
    text("name"),
    text("hash"),
    text("user_id", nullable=True),
    seconds("expires_at", nullable=True),
    seconds("revoked_at", nullable=True),
    UniqueConstraint("hash"),
)
files: Final = of_tenant(
    "files",
    text("filename"),
    text("purpose"),
    text("status"),
    text("digest"),
    number("bytes"),
    seconds("expires_at", nullable=True),
    Index(None, "tenant_id", "purpose", "id"),
    Index(None, "digest"),
    Index(None, "expires_at"),
)
jobs: Final = of_tenant(
    "jobs",
    text("name"),
    text("state"),
    number("priority"),
    number("needs_memory_bytes", nullable=True),
    number("attempt"),
    number("beat"),
    text("worker_id", nullable=True),
    number("revision"),
    Column("kind", PlainText, nullable=False, server_default="run"),
    Index(None, "id"),
    Index(None, "tenant_id", "state", "id"),
    Index(None, "tenant_id", "kind", "id"),
    Index(None, "state", "tenant_id"),
    Index(
        None,
        "worker_id",
        sqlite_where=column("worker_id").is_not(None),
        postgresql_where=column("worker_id").is_not(None),
    ),
)
events: Final = Table(
    "job_events",
    metadata,
    tenant(),
    text("job_id"),
    number("seq"),
    seconds("at"),
    text("kind"),
    text("level"),
    details(),
    PrimaryKeyConstraint("tenant_id", "job_id", "seq"),
    ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"]),
    sqlite_with_rowid=False,  # a million rows: stored in the order in which they are read
)
workers: Final = Table(
    "workers",
    metadata,
    Column("id", PlainText, primary_key=True),
    text("name"),
    details(),
)
models: Final = of_tenant("models", text("name"), UniqueConstraint("tenant_id", "name"))
versions: Final = of_tenant(
    "model_versions",
    text("model_id"),
    number("number"),
    text("tree"),
    text("state"),
    text("served_as", nullable=True),
    Column("bytes", WholeNumber, nullable=False, server_default="0"),
    UniqueConstraint("tenant_id", "model_id", "number"),
    UniqueConstraint("tenant_id", "served_as"),
    ForeignKeyConstraint(["tenant_id", "model_id"], ["models.tenant_id", "models.id"]),
)
aliases: Final = Table(
    "aliases",
    metadata,
    tenant(),
    text("model_id"),
    text("name"),
    text("version_id"),
    details(),
    PrimaryKeyConstraint("tenant_id", "model_id", "name"),
    ForeignKeyConstraint(["tenant_id", "model_id"], ["models.tenant_id", "models.id"]),
    ForeignKeyConstraint(
        ["tenant_id", "version_id"], ["model_versions.tenant_id", "model_versions.id"]
    ),
)
deployments: Final = of_tenant(
    "deployments",
    text("name"),
    text("version_id"),
    text("state"),
    number("generation"),
    UniqueConstraint("tenant_id", "name"),
)
audit: Final = of_tenant("audit", seconds("at"), text("key_id"), text("verb"), text("outcome"))
usage: Final = Table(
    "usage",
    metadata,
    tenant(),
    text("key_id"),
    number("hour"),
    number("requests"),
    number("errors"),
    number("tokens_in"),
    number("tokens_out"),
    seconds("job_s"),
    PrimaryKeyConstraint("tenant_id", "hour", "key_id"),
)
remembered: Final = Table(
    "remembered",
    metadata,
    tenant(),
    text("key"),
    text("request_hash"),
    seconds("created_at"),
    number("status", nullable=True),
    details(),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index(None, "created_at"),
)
