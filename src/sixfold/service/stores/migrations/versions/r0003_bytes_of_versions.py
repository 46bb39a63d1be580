"""The bytes of a model's version get a column, so that they are added up for a tenant's quota without a look into each."""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import BigInteger, Column, bindparam, column, select, table, update

revision = "0003"
down_revision = "0002"

VERSIONS = table("model_versions", *map(column, ("tenant_id", "id", "bytes", "details")))


def upgrade() -> None:
    """Fills it from what each version keeps."""
    size = Column("bytes", BigInteger, nullable=False, server_default="0")
    op.add_column("model_versions", size)
    connection, own = op.get_bind(), VERSIONS.c
    sizes = [
        {"tenant": row.tenant_id, "version": row.id, "found": json.loads(row.details)["bytes"]}
        for row in connection.execute(select(own.tenant_id, own.id, own.details))
    ]
    of_one = (own.tenant_id == bindparam("tenant")) & (own.id == bindparam("version"))
    if sizes:
        connection.execute(update(VERSIONS).where(of_one).values(bytes=bindparam("found")), sizes)
