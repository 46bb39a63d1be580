"""Files that people bring: bytes by their SHA-256, once, whoever brought them; the row says whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileStatus(StrEnum):
    """As OpenAI's."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


@dataclass(frozen=True)
class StoredFile:
    """`digest`: SHA-256 of the bytes, in hexadecimal digits. `purpose`: fine-tune, data, result …"""

    id: str
    tenant_id: str
    filename: str
    purpose: str
    bytes: int
    digest: str
    created_at: float
    status: FileStatus = FileStatus.PROCESSED
    status_details: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Tree:
    """A folder as content: plain relative path → SHA-256 of the file's bytes. Its own address is the SHA-256 of its JSON."""

    files: dict[str, str]
