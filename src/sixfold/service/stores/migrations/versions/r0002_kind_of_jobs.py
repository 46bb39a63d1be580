"""The kind of a job gets a column, so that fine-tuning jobs are listed without a look at all others."""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import Column, Text, bindparam, column, select, table, update

revision = "0002"
down_revision = "0001"

JOBS = table("jobs", *map(column, ("tenant_id", "id", "kind", "details")))


def upgrade() -> None:
    """Fills it from what each job keeps."""
    kind = Text().with_variant(Text(collation="C"), "postgresql")
    op.add_column("jobs", Column("kind", kind, nullable=False, server_default="run"))
    connection = op.get_bind()
    kinds = [
        {"tenant": row.tenant_id, "job": row.id, "found": json.loads(row.details)["spec"]["kind"]}
        for row in connection.execute(select(JOBS.c.tenant_id, JOBS.c.id, JOBS.c.details))
    ]
    own = (JOBS.c.tenant_id == bindparam("tenant")) & (JOBS.c.id == bindparam("job"))
    if kinds:
        connection.execute(update(JOBS).where(own).values(kind=bindparam("found")), kinds)
    op.create_index("ix_jobs_tenant_id_kind_id", "jobs", ["tenant_id", "kind", "id"])
