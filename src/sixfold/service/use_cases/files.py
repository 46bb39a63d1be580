"""Files that people bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from sixfold.service.domain.errors import InvalidRequest, NotFound, QuotaExceeded
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import Page, PageQuery
from sixfold.service.use_cases import audit
from sixfold.service.use_cases.service import Service

MOST_NAME = 255
MOST_EXPIRED = 1000  # files that one look removes


@dataclass(frozen=True)
class FileRequest:
    """`expires_after_s`: None for never."""

    filename: str
    purpose: str
    expires_after_s: float | None = None


def upload(
    service: Service,
    who: Principal,
    filename: str,
    source: BinaryIO,
    purpose: str,
    expires_after_s: float | None = None,
) -> StoredFile:
    """Store the bytes, then the row. Raises QuotaExceeded before more is stored than the tenant may have."""
    new = stored(service, who, source, FileRequest(filename, purpose, expires_after_s))
    with service.database.transaction() as rows:
        return add(service, rows, who, new)


def stored(service: Service, who: Principal, source: BinaryIO, asked: FileRequest) -> StoredFile:
    """The bytes are stored; the row is not, without which they go within days. Raises as `upload`."""
    who.require(Scope.FILES)
    checked_filename(asked.filename)
    with service.database.reading() as rows:
        room = room_of(rows, who.tenant_id)
    most = service.settings.most_upload_bytes
    digest, size = service.artifacts.put(source, most if room is None else min(most, room))
    now, after_s = service.now(), asked.expires_after_s
    return StoredFile(
        new_id("file"),
        who.tenant_id,
        asked.filename,
        asked.purpose,
        size,
        digest,
        now,
        expires_at=None if after_s is None else now + after_s,
    )


def add(service: Service, rows: Transaction, who: Principal, new: StoredFile) -> StoredFile:
    """The row of what is stored, within the caller's transaction."""
    room = room_of(rows, who.tenant_id)  # two uploads at once must not both take the last room
    if room is not None and new.bytes > room:
        raise _too_much(room, new.bytes)
    rows.files.add(new)
    facts = {"filename": new.filename, "bytes": new.bytes}
    audit.record(service, rows, who, "file.upload", new.id, **facts)
    return new


def get(service: Service, who: Principal, file_id: str) -> StoredFile:
    """Raises NotFound."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return found(rows, who.tenant_id, file_id)


def page(service: Service, who: Principal, query: PageQuery) -> Page[StoredFile]:
    """Of the tenant."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        return rows.files.page(who.tenant_id, query)


def content(service: Service, who: Principal, file_id: str) -> tuple[StoredFile, BinaryIO]:
    """The row and its bytes, verified while they are read."""
    who.require(Scope.READ)
    with service.database.reading() as rows:
        file = found(rows, who.tenant_id, file_id)
    return file, service.artifacts.open(file.digest)


def delete(service: Service, who: Principal, file_id: str) -> None:
    """The row; the bytes go with the next sweep, when no other row has them. Jobs keep what they were given."""
    who.require(Scope.FILES)
    with service.database.transaction() as rows:
        found(rows, who.tenant_id, file_id)
        rows.files.remove(who.tenant_id, file_id)
        audit.record(service, rows, who, "file.delete", file_id)


def expire(service: Service) -> int:
    """Files whose time is over go, of all tenants: how many. Who lists or reads files calls it before."""
    now = service.now()
    with service.database.reading() as rows:
        late = rows.files.expired(now, MOST_EXPIRED)
    if late:
        with service.database.transaction() as rows:
            return sum(rows.files.remove(one.tenant_id, one.id) for one in late)
    return 0


def found(rows: Transaction, tenant_id: str, file_id: str) -> StoredFile:
    """Raises NotFound."""
    file = rows.files.get(tenant_id, file_id)
    if file is None:
        raise NotFound(
            "the file", "the id of a file of yours", repr(file_id[:80]), "List your files."
        )
    return file


def room_of(rows: Transaction, tenant_id: str) -> int | None:
    """Bytes that the tenant may still store; None for any."""
    tenant = rows.tenants.get(tenant_id)
    if tenant is None or tenant.quota.storage_bytes is None:
        return None
    return max(0, tenant.quota.storage_bytes - rows.files.stored_bytes(tenant_id))


def checked_filename(name: str) -> None:
    """A plain name: it is shown, and written beside recipes. Raises InvalidRequest."""
    plain = name and len(name) <= MOST_NAME and name.isprintable() and name not in (".", "..")
    if not plain or "/" in name or "\\" in name or name.startswith("."):
        raise InvalidRequest(
            "filename",
            f"a plain file name of at most {MOST_NAME} characters",
            repr(name[:80]),
            "Rename the file.",
        )


def _too_much(room: int, size: int) -> QuotaExceeded:
    return QuotaExceeded(
        "storage",
        f"at most {room:,} bytes more",
        f"{size:,}",
        "Delete files, or ask for a larger quota.storage_bytes.",
    )
