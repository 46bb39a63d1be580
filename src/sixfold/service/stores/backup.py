"""Backup and restore: a folder with the rows of all tables as JSON lines, the artifacts that they name, and a manifest of
digests. The same form from either database, so that a backup of SQLite is restored into PostgreSQL and the reverse.

The rows are of one moment: of one transaction that only reads. Artifacts are copied after it; none that a row names is
removed meanwhile, as nothing removes artifacts of which a row was just read. The manifest is written last: a folder without
one is no backup.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, Table, func, insert, select

from sixfold.core.paths import sync_folder, write_atomic
from sixfold.service.domain.errors import InvalidRequest, NotFound, ServiceError, Unprocessable
from sixfold.service.stores import migrate, tables
from sixfold.service.stores.artifacts import BLOCK, DIGEST, BlobArtifacts, told
from sixfold.service.stores.sql_database import SqlDatabase

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
BATCH: Final = 1000


@dataclass(frozen=True)
class BackupSummary:
    """What a backup holds. `missing`: artifacts that a row names and the store does not have, or has damaged."""

    revision: str
    rows: Mapping[str, int]
    artifacts: int
    missing: tuple[str, ...] = ()


def facts_of(summary: BackupSummary) -> dict[str, Any]:
    """As JSON."""
    return asdict(summary)


def back_up(database: SqlDatabase, artifacts: BlobArtifacts, folder: Path) -> BackupSummary:
    """Into a new or empty folder, while the service runs. Raises ServiceError."""
    _must_be_empty(folder)
    with told(str(folder)):
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        (folder / "artifacts").mkdir(exist_ok=True)
    files: dict[str, str] = {}
    rows: dict[str, int] = {}
    with database.reading() as moment:
        revision = migrate.revision_of(moment.store.sql) or ""
        for table in tables.metadata.sorted_tables:
            name = f"tables/{table.name}.jsonl"
            with told(str(folder)):
                rows[table.name], files[name] = _dump(moment.store.sql, table, folder / name)
        needed = moment.digests()
    kept, missing = _copy_all(artifacts, needed, folder / "artifacts")
    manifest = {
        "format": FORMAT,
        "revision": revision,
        "rows": rows,
        "files": files,
        "artifacts": kept,
        "missing": missing,
    }
    with told(str(folder)):
        for part in ("tables", "artifacts"):
            sync_folder(folder / part)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    return BackupSummary(revision, rows, len(kept), tuple(missing))


def restore(folder: Path, database: SqlDatabase, artifacts: BlobArtifacts) -> BackupSummary:
    """Into an empty database: all rows or none. Everything is verified first. Raises ServiceError."""
    manifest = _verified(folder)
    if manifest["revision"] != migrate.newest():
        raise Unprocessable(
            str(folder),
            f"a backup of revision {migrate.newest()}",
            f"revision {manifest['revision']}",
            "Restore it with the Sixfold that made it, then start the newer one.",
        )
    with database.reading() as moment:
        _must_have_no_rows(moment.store.sql, database.where)
    for digest in manifest["artifacts"]:  # no transaction stays open as long as this may take
        with told(str(folder)), (folder / "artifacts" / digest).open("rb") as file:
            artifacts.put(file)
    with database.transaction() as moment:
        _must_have_no_rows(moment.store.sql, database.where)
        for table in tables.metadata.sorted_tables:
            _load(moment.store.sql, table, folder / "tables" / f"{table.name}.jsonl")
    return BackupSummary(
        manifest["revision"],
        manifest["rows"],
        len(manifest["artifacts"]),
        tuple(manifest["missing"]),
    )


def _must_have_no_rows(sql: Connection, where: str) -> None:
    for table in tables.metadata.sorted_tables:
        if sql.execute(select(func.count()).select_from(table)).scalar_one():
            raise InvalidRequest(
                where, "an empty database", f"rows in {table.name}", "Restore into a new database."
            )


def _dump(sql: Connection, table: Table, path: Path) -> tuple[int, str]:
    """How many rows, and the file's SHA-256."""
    count, digest = 0, hashlib.sha256()
    found = sql.execute(
        select(table).order_by(*table.primary_key.columns), execution_options={"yield_per": BATCH}
    )
    with path.open("xb") as file:
        for row in found.mappings():
            line = json.dumps(dict(row), separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count, digest.hexdigest()


def _load(sql: Connection, table: Table, path: Path) -> None:
    batch: list[dict[str, Any]] = []
    with told(str(path)), path.open("rb") as file:
        for line in file:
            batch.append(json.loads(line))
            if len(batch) == BATCH:
                sql.execute(insert(table), batch)
                batch = []
    if batch:
        sql.execute(insert(table), batch)


def _copy_all(
    artifacts: BlobArtifacts, needed: frozenset[str], folder: Path
) -> tuple[list[str], list[str]]:
    """What was copied, what is not there. Of trees their files too."""
    kept: set[str] = set()
    missing: set[str] = set()
    waiting = sorted(needed)
    while waiting:
        digest = waiting.pop()
        if digest in kept or digest in missing:
            continue
        try:
            _copy(artifacts, digest, folder / digest)
        except (NotFound, Unprocessable):
            missing.add(digest)
            (folder / digest).unlink(missing_ok=True)
            continue
        kept.add(digest)
        waiting += _files_of(artifacts, digest)
    return sorted(kept), sorted(missing)


def _copy(artifacts: BlobArtifacts, digest: str, path: Path) -> None:
    with artifacts.open(digest) as source, told(str(path)), path.open("xb") as file:
        for block in _blocks(source):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _files_of(artifacts: BlobArtifacts, digest: str) -> list[str]:
    try:
        return list(artifacts.tree(digest).files.values())
    except Unprocessable:  # it is no tree
        return []


def _verified(folder: Path) -> dict[str, Any]:
    """The manifest, once each file is what it says. Raises Unprocessable."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        known = manifest["format"] == FORMAT
        names = [f"tables/{table.name}.jsonl" for table in tables.metadata.sorted_tables]
        expected = {name: manifest["files"][name] for name in names}
        expected |= {f"artifacts/{digest}": digest for digest in manifest["artifacts"]}
        named = all(DIGEST.fullmatch(digest) for digest in manifest["artifacts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, f"{type(error).__name__} in {MANIFEST}") from error
    if not known or not named:
        raise _bad(folder, "a manifest of another form")
    for name, digest in expected.items():
        found = hashlib.sha256()
        try:
            with (folder / name).open("rb") as file:
                for block in _blocks(file):
                    found.update(block)
        except OSError as error:
            raise _bad(folder, f"{name}: {error.strerror}") from error
        if found.hexdigest() != digest:
            raise _bad(folder, f"{name} was changed")
    return dict(manifest)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _must_be_empty(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or _has_files(folder):
        raise InvalidRequest(
            str(folder), "a new or empty folder", "one with files in it", "Choose another folder."
        )


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _bad(folder: Path, found: str) -> ServiceError:
    return Unprocessable(
        str(folder), "a whole backup", found, "Take another backup; nothing was restored."
    )
