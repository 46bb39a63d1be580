"""The first tables."""

from __future__ import annotations

from typing import Any, Final

from alembic import op
from sqlalchemy import BigInteger, Column, Double, Text, column
from sqlalchemy import ForeignKeyConstraint as Foreign
from sqlalchemy import PrimaryKeyConstraint as Primary
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None

BYTES: Final = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, BYTES, nullable=nullable)


def _number(name: str, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _seconds(name: str, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _details() -> Column[str]:
    return Column("details", Text, nullable=False)


def _table(name: str, key: tuple[str, ...], *items: SchemaItem, **options: Any) -> None:
    owner = Foreign(["tenant_id"], ["tenants.id"], name=f"fk_{name}_tenant_id")
    items = (*items, Primary(*key, name=f"pk_{name}"), owner)
    op.create_table(name, _text("tenant_id"), *items, **options)


def _things(name: str, *items: SchemaItem) -> None:
    _table(name, ("tenant_id", "id"), _text("id"), *items, _details())


def _unique(table: str, *names: str) -> Unique:
    return Unique(*names, name=f"uq_{table}_{'_'.join(names)}")


def _belongs(table: str, column_name: str, other: str) -> Foreign:
    return Foreign(
        ["tenant_id", column_name],
        [f"{other}.tenant_id", f"{other}.id"],
        name=f"fk_{table}_tenant_id_{column_name}",
    )


def _index(table: str, *names: str, **options: Any) -> None:
    op.create_index(f"ix_{table}_{'_'.join(names)}", table, list(names), **options)


def upgrade() -> None:
    """Makes all of them."""
    _people()
    _jobs()
    _registry()
    _records()


def _people() -> None:
    op.create_table(
        "tenants",
        _text("id"),
        _text("name"),
        _number("quota_jobs_running", nullable=True),
        _number("quota_memory_bytes", nullable=True),
        _details(),
        Primary("id", name="pk_tenants"),
        _unique("tenants", "name"),
    )
    _things(
        "users",
        _text("name"),
        _text("subject", nullable=True),
        _unique("users", "tenant_id", "name"),
        _unique("users", "subject"),
    )
    _things(
        "keys",
        _text("name"),
        _text("hash"),
        _text("user_id", nullable=True),
        _seconds("expires_at", nullable=True),
        _seconds("revoked_at", nullable=True),
        _unique("keys", "hash"),
    )
    _things(
        "files",
        _text("filename"),
        _text("purpose"),
        _text("status"),
        _text("digest"),
        _number("bytes"),
        _seconds("expires_at", nullable=True),
    )
    _index("files", "tenant_id", "purpose", "id")
    _index("files", "digest")
    _index("files", "expires_at")


def _jobs() -> None:
    _things(
        "jobs",
        _text("name"),
        _text("state"),
        _number("priority"),
        _number("needs_memory_bytes", nullable=True),
        _number("attempt"),
        _number("beat"),
        _text("worker_id", nullable=True),
        _number("revision"),
    )
    held = column("worker_id").is_not(None)
    _index("jobs", "id")
    _index("jobs", "tenant_id", "state", "id")
    _index("jobs", "state", "tenant_id")
    _index("jobs", "worker_id", sqlite_where=held, postgresql_where=held)
    _table(
        "job_events",
        ("tenant_id", "job_id", "seq"),
        _text("job_id"),
        _number("seq"),
        _seconds("at"),
        _text("kind"),
        _text("level"),
        _details(),
        _belongs("job_events", "job_id", "jobs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "workers", _text("id"), _text("name"), _details(), Primary("id", name="pk_workers")
    )


def _registry() -> None:
    _things("models", _text("name"), _unique("models", "tenant_id", "name"))
    _things(
        "model_versions",
        _text("model_id"),
        _number("number"),
        _text("tree"),
        _text("state"),
        _text("served_as", nullable=True),
        _unique("model_versions", "tenant_id", "model_id", "number"),
        _unique("model_versions", "tenant_id", "served_as"),
        _belongs("model_versions", "model_id", "models"),
    )
    _table(
        "aliases",
        ("tenant_id", "model_id", "name"),
        _text("model_id"),
        _text("name"),
        _text("version_id"),
        _details(),
        _belongs("aliases", "model_id", "models"),
        _belongs("aliases", "version_id", "model_versions"),
    )
    _things(
        "deployments",
        _text("name"),
        _text("version_id"),
        _text("state"),
        _number("generation"),
        _unique("deployments", "tenant_id", "name"),
    )


def _records() -> None:
    _things("audit", _seconds("at"), _text("key_id"), _text("verb"), _text("outcome"))
    _table(
        "usage",
        ("tenant_id", "hour", "key_id"),
        _text("key_id"),
        _number("hour"),
        *(_number(name) for name in ("requests", "errors", "tokens_in", "tokens_out")),
        _seconds("job_s"),
    )
    _table(
        "remembered",
        ("tenant_id", "key"),
        _text("key"),
        _text("request_hash"),
        _seconds("created_at"),
        _number("status", nullable=True),
        _details(),
    )
    _index("remembered", "created_at")
