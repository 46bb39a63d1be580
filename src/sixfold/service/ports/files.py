"""The rows of files; their bytes are artifacts."""

from __future__ import annotations

from typing import Protocol

from sixfold.service.domain.files import StoredFile
from sixfold.service.ports.pages import Page, PageQuery


class FileRows(Protocol):
    """Of one tenant."""

    def add(self, file: StoredFile) -> None: ...
    def get(self, tenant_id: str, file_id: str) -> StoredFile | None: ...
    def save(self, file: StoredFile) -> None: ...
    def remove(self, tenant_id: str, file_id: str) -> bool: ...
    def page(self, tenant_id: str, query: PageQuery) -> Page[StoredFile]: ...
    def stored_bytes(self, tenant_id: str) -> int:
        """Of all files of the tenant and of the versions of its models, for its quota."""

    def expired(self, now: float, limit: int) -> tuple[StoredFile, ...]:
        """Of all tenants."""
