"""A backup of either database is restored into either."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sixfold.service.domain.errors import InvalidRequest, Unprocessable
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.jobs import JobEvent, JobSpec, TrainingJob
from sixfold.service.domain.people import Quota, Tenant
from sixfold.service.domain.registry import Alias, ModelVersion, RegisteredModel
from sixfold.service.stores import open_artifacts, open_database
from sixfold.service.stores.artifacts import BlobArtifacts
from sixfold.service.stores.backup import back_up, restore
from sixfold.service.stores.sql_database import SqlDatabase


def filled(database: SqlDatabase, artifacts: BlobArtifacts, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "deep").mkdir(parents=True)
    (tmp_path / "bundle" / "deep" / "model").write_bytes(b"weights")
    tree, size = artifacts.put_tree(tmp_path / "bundle")
    data, _ = artifacts.put(io.BytesIO(b"a,b\n"))
    with database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0, Quota(jobs_running=2)))
        rows.files.add(StoredFile("file-1", "tenant-1", "a.csv", "data", 4, data, 1.0))
        rows.jobs.add(TrainingJob("job-1", "tenant-1", "j", JobSpec("a: 1"), 1.0, run_tree=tree))
        events = [
            JobEvent("job-1", n, 1.0, "metric", "info", "\0", {"n": n}) for n in range(1, 2500)
        ]
        rows.events.add("tenant-1", events)
        rows.models.add(RegisteredModel("model-1", "tenant-1", "iris", 1.0))
        rows.versions.add(ModelVersion("version-1", "tenant-1", "model-1", 1, tree, size, 1.0))
        rows.models.point(Alias("tenant-1", "model-1", "production", "version-1", 1.0))


def test_a_backup_brings_everything_back(
    database: SqlDatabase, artifacts: BlobArtifacts, tmp_path: Path
) -> None:
    filled(database, artifacts, tmp_path)
    made = back_up(database, artifacts, tmp_path / "backup")
    assert made.rows["job_events"] == 2499
    assert (made.artifacts, made.missing) == (3, ())
    other = open_artifacts(tmp_path / "other")
    target = open_database(f"sqlite:///{tmp_path / 'target.db'}")
    assert restore(tmp_path / "backup", target, other) == made
    back_up(target, other, tmp_path / "again")
    files = sorted(
        path.relative_to(tmp_path / "backup") for path in (tmp_path / "backup").rglob("*")
    )
    for name in files:
        if (tmp_path / "backup" / name).is_file():
            assert (tmp_path / "again" / name).read_bytes() == (
                tmp_path / "backup" / name
            ).read_bytes()
    with pytest.raises(InvalidRequest, match="an empty database; found rows in tenants"):
        restore(tmp_path / "backup", target, other)
    with pytest.raises(InvalidRequest, match="a new or empty folder"):
        back_up(target, other, tmp_path / "backup")
    target.close()


def test_a_backup_of_sqlite_is_restored_into_any(database: SqlDatabase, tmp_path: Path) -> None:
    source, artifacts = open_database("sqlite://"), open_artifacts(tmp_path / "artifacts")
    filled(source, artifacts, tmp_path)
    made = back_up(source, artifacts, tmp_path / "backup")
    assert restore(tmp_path / "backup", database, open_artifacts(tmp_path / "other")) == made
    with database.reading() as rows, source.reading() as there:
        assert rows.jobs.find("job-1") == there.jobs.find("job-1")
        assert rows.events.last_seq("job-1") == 2499


@pytest.mark.parametrize("how", ["flip", "remove", "manifest", "artifact", "empty"])
def test_a_damaged_backup_restores_nothing(tmp_path: Path, how: str) -> None:
    source, artifacts = open_database("sqlite://"), open_artifacts(tmp_path / "artifacts")
    filled(source, artifacts, tmp_path)
    backup = tmp_path / "backup"
    back_up(source, artifacts, backup)
    jobs, manifest = backup / "tables" / "jobs.jsonl", backup / "manifest.json"
    damage = {
        "flip": lambda: jobs.write_bytes(jobs.read_bytes().replace(b"VALID", b"x") + b"\n"),
        "remove": lambda: (backup / "tables" / "audit.jsonl").unlink(),
        "manifest": lambda: manifest.write_text("{"),
        "artifact": lambda: next((backup / "artifacts").iterdir()).write_bytes(b"x"),
        "empty": lambda: manifest.unlink(),
    }
    damage[how]()
    target = open_database("sqlite://")
    with pytest.raises(Unprocessable, match="a whole backup"):
        restore(backup, target, open_artifacts(tmp_path / "other"))
    with target.reading() as rows:
        assert rows.tenants.get("tenant-1") is None


def test_what_the_store_lost_is_named(tmp_path: Path) -> None:
    source, artifacts = open_database("sqlite://"), open_artifacts(tmp_path / "artifacts")
    filled(source, artifacts, tmp_path)
    with source.reading() as rows:
        data = rows.files.get("tenant-1", "file-1").digest
    artifacts.remove([data])
    assert back_up(source, artifacts, tmp_path / "backup").missing == (data,)
