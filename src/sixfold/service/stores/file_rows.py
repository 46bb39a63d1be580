"""Files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from sixfold.service.domain.files import StoredFile
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, TenantRowsOf

FILES: Final = RowMapper(StoredFile, tables.files)


@dataclass(frozen=True)
class FileTable:
    """What is known of files; their bytes are elsewhere."""

    rows: TenantRowsOf[StoredFile]

    def add(self, file: StoredFile) -> None:
        """Raises Conflict."""
        self.rows.add(file)

    def get(self, tenant_id: str, file_id: str) -> StoredFile | None:
        """By its id."""
        return self.rows.one(*self.rows.of(tenant_id, id=file_id))

    def save(self, file: StoredFile) -> None:
        """Raises NotFound."""
        self.rows.replace(file)

    def remove(self, tenant_id: str, file_id: str) -> bool:
        """Whether it was there."""
        return self.rows.delete(tenant_id, id=file_id)

    def page(self, tenant_id: str, query: PageQuery) -> Page[StoredFile]:
        """By id."""
        return self.rows.page_of(tenant_id, query)

    def stored_bytes(self, tenant_id: str) -> int:
        """Of all its files and versions."""
        total = 0
        for one in (tables.files, tables.versions):
            added = func.coalesce(func.sum(one.c.bytes), 0)
            query = select(added).where(one.c.tenant_id == tenant_id)
            total += int(self.rows.store.sql.execute(query).scalar_one())
        return total

    def expired(self, now: float, limit: int) -> tuple[StoredFile, ...]:
        """Of all tenants, the longest expired first."""
        files = tables.files.c
        query = select(tables.files).where(files.expires_at <= now)
        ordered = query.order_by(files.expires_at).limit(limit)
        return FILES.entities(self.rows.store.all(ordered))
