"""Audit, use, idempotency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sixfold.service.domain.records import AuditEntry, Remembered, Usage
from sixfold.service.ports.pages import Page, PageQuery


class RecordRows(Protocol):
    """Of one tenant."""

    def audit(self, entry: AuditEntry) -> None: ...
    def audited(self, tenant_id: str, query: PageQuery) -> Page[AuditEntry]: ...
    def add_usage(self, usage: Usage) -> None:
        """Adds its counts to those of the same key and hour."""

    def usage(self, tenant_id: str, since_hour: int) -> tuple[Usage, ...]: ...
    def remember(self, row: Remembered) -> Remembered | None:
        """None where the key is new and now kept; else what is kept."""

    def answered(
        self, tenant_id: str, key: str, status: int, answer: Mapping[str, Any]
    ) -> None: ...
    def forget(self, tenant_id: str, key: str) -> None:
        """The work behind it failed: the key is free again."""

    def forget_before(self, at: float) -> int:
        """Idempotency keys of all tenants that are older."""
