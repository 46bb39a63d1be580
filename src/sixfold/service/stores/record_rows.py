"""Audit, use, idempotency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete as delete_from
from sqlalchemy import update

from sixfold.service.domain.records import AuditEntry, Remembered, Usage
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.stores import tables
from sixfold.service.stores.rows import RowMapper, StoreConnection, TenantRowsOf

AUDIT: Final = RowMapper(AuditEntry, tables.audit)
USAGE: Final = RowMapper(Usage, tables.usage)
REMEMBERED: Final = RowMapper(Remembered, tables.remembered)
COUNTS: Final = ("requests", "errors", "tokens_in", "tokens_out", "job_s")


@dataclass(frozen=True)
class RecordTable:
    """Three tables that are written far more often than read."""

    store: StoreConnection

    def audit(self, entry: AuditEntry) -> None:
        """Raises Conflict."""
        self._audit.add(entry)

    def audited(self, tenant_id: str, query: PageQuery) -> Page[AuditEntry]:
        """By id."""
        return self._audit.page_of(tenant_id, query)

    def add_usage(self, usage: Usage) -> None:
        """Counts add up in the database."""
        insert = self.store.insert(tables.usage).values(USAGE.values(usage))
        added = {name: tables.usage.c[name] + insert.excluded[name] for name in COUNTS}
        unique = ["tenant_id", "hour", "key_id"]
        self.store.changed(insert.on_conflict_do_update(index_elements=unique, set_=added))

    def usage(self, tenant_id: str, since_hour: int) -> tuple[Usage, ...]:
        """By hour, then by key."""
        own, columns = TenantRowsOf(self.store, USAGE), tables.usage.c
        order = [columns.hour.asc(), columns.key_id.asc()]
        return own.many(*own.of(tenant_id), columns.hour >= since_hour, order=order)

    def remember(self, row: Remembered) -> Remembered | None:
        """Of several at once, one gets None. What is there may be forgotten before it is read: then once more."""
        values = REMEMBERED.values(row)
        insert = self.store.insert(tables.remembered).values(values).on_conflict_do_nothing()
        while not self.store.changed(insert):
            found = self._remembered.one(*self._remembered.of(row.tenant_id, key=row.key))
            if found is not None:
                return found
        return None

    def answered(self, tenant_id: str, key: str, status: int, answer: Mapping[str, Any]) -> None:
        """What is told again from now on."""
        own = self._remembered.of(tenant_id, key=key)
        change = update(tables.remembered).where(*own)
        self.store.changed(change.values(status=status, details={"answer": answer}))

    def forget(self, tenant_id: str, key: str) -> None:
        """Also where there is none."""
        self._remembered.delete(tenant_id, key=key)

    def forget_before(self, at: float) -> int:
        """Of all tenants."""
        old = tables.remembered.c.created_at < at
        return self.store.changed(delete_from(tables.remembered).where(old))

    @property
    def _audit(self) -> TenantRowsOf[AuditEntry]:
        return TenantRowsOf(self.store, AUDIT)

    @property
    def _remembered(self) -> TenantRowsOf[Remembered]:
        return TenantRowsOf(self.store, REMEMBERED)
