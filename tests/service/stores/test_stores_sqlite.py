"""What can be wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event

from sixfold.service.domain.errors import Conflict, InvalidRequest, ServiceError, Unavailable
from sixfold.service.domain.jobs import JobEvent, JobSpec, JobState, TrainingJob, WorkerMachine
from sixfold.service.domain.people import Tenant
from sixfold.service.ports.pages import PageQuery
from sixfold.service.stores import open_database
from sixfold.service.stores.sql_database import SqlDatabase


def opened(path: Path) -> SqlDatabase:
    return open_database(f"sqlite:///{path}")


def test_it_is_synced_and_has_one_server_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path / "a.db")
    with first.engine.connect() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert asked == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }
    with pytest.raises(Conflict, match=r"a\.db\.lock: expected a database that no other server"):
        opened(tmp_path / "a.db")
    script = f"from sixfold.service.stores import open_database\nopen_database('sqlite:///{tmp_path}/a.db')"
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "a lock of another one" in other.stderr
    first.close()
    opened(tmp_path / "a.db").close()


def damaged_by(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["text", "cut", "scribbled", "foreign", "folder"])
def test_a_damaged_or_foreign_file_is_told(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.db"
    if how == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE songs (name TEXT)")
        connection.close()
    elif how == "folder":
        path.mkdir()
    else:
        opened(path).close()
        whole = path.read_bytes()
        page = 4096
        scribbled = whole[: 2 * page] + os.urandom(len(whole) - 2 * page)
        damage = {"text": b"hello", "cut": whole[: len(whole) // 2], "scribbled": scribbled}
        path.write_bytes(damage[how])
    with pytest.raises(ServiceError) as error:
        opened(path)
    assert all((error.value.where, error.value.expected, error.value.found, error.value.remedy))
    told = {
        "text": "a file of another kind",
        "foreign": "a database of another program",
        "folder": "Is a directory",
    }
    assert told.get(how, "a whole database of Sixfold") in str(error.value)
    if how == "foreign":
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
        connection.close()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="a folder that is there and can be written"):
        opened(tmp_path / "none" / "a.db")


@pytest.mark.parametrize("url", ["mysql://a/b", "nonsense", "postgresql://u:secret@h/d", ""])
def test_other_addresses_are_told_without_a_password(url: str) -> None:
    with pytest.raises(InvalidRequest, match="the database: expected sqlite:///FILE or") as error:
        open_database(url)
    assert "secret" not in str(error.value)


def test_a_full_disk_is_told_and_the_service_goes_on(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    with database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0))
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    big = TrainingJob("job-1", "tenant-1", "j", JobSpec("x" * 100_000), 1.0)
    with (
        pytest.raises(
            Unavailable, match="expected room on the disk; found database or disk is full"
        ),
        database.transaction() as rows,
    ):
        rows.jobs.add(big)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    with database.transaction() as rows:
        rows.jobs.add(big)
    database.check()
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user to become another one")
def test_a_file_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    opened(path).close()
    (tmp_path / "a.db.lock").chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o077 == 0:  # pytest's own are private
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(Unavailable, match="a file and a folder that can be written"):
            opened(path)
    finally:
        os.seteuid(0)


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path / "a.db").close()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ServiceError, match="revision 9999, of a newer Sixfold"):
        opened(tmp_path / "a.db")


def test_a_database_that_another_sixfold_upgraded_is_told(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Unavailable, match="revision 9999: another Sixfold changed it"):
        database.check()
    database.close()


def test_no_page_looks_through_all_rows() -> None:
    """Each statement that lists jobs, events, audit entries or what is held, as SQLite plans it."""
    database = open_database("sqlite://")
    plans: dict[str, list[str]] = {}

    def explain(connection: object, cursor: object, sql: str, values: object, *_: object) -> None:
        if sql.startswith("SELECT") and "FROM" in sql:
            found = cursor.execute("EXPLAIN QUERY PLAN " + sql, values).fetchall()
            plans[sql] = [row[3] for row in found]

    with database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0))
    event.listen(database.engine, "before_cursor_execute", explain)
    with database.reading() as rows:
        for where in ({}, {"state": JobState.QUEUED}, {"kind": "run"}):
            for newest_first in (True, False):
                query = PageQuery(20, "job-1", newest_first, where)
                rows.jobs.page("tenant-1", query)
        rows.files.page("tenant-1", PageQuery(where={"purpose": "data"}))
        rows.records.audited("tenant-1", PageQuery())
        rows.events.after("tenant-1", "job-1", 5, 10)
        rows.events.before("tenant-1", "job-1", None, 10)
        rows.events.last_seq("job-1")
        rows.jobs.find("job-1")
        rows.jobs.held()
        rows.jobs.counts("tenant-1")
        rows.jobs.next_for(WorkerMachine("w", "w", 1, 1, 1, 1.0))
        rows.keys.of_hash("hash")
        rows.files.expired(1.0, 10)
    assert len(plans) >= 12
    steps = {sql: [step for step in plan if is_slow(step)] for sql, plan in plans.items()}
    due = next(sql for sql in steps if "priority DESC" in sql)
    assert all("ORDER BY" in step or "running" in step for step in steps.pop(due))
    assert {sql: slow for sql, slow in steps.items() if slow} == {}


def is_slow(step: str) -> bool:
    """Reads a whole table, or sorts."""
    partial = "ix_jobs_worker_id" in step  # an index of held jobs alone
    return (step.startswith("SCAN") and not partial) or "TEMP B-TREE" in step


@pytest.mark.slow
def test_a_server_killed_while_it_writes_lost_nothing_that_it_said(tmp_path: Path) -> None:
    """8 kills; each line that was printed is a transaction that had ended."""
    path, kept = tmp_path / "a.db", 0
    database = opened(path)
    with database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0))
        rows.jobs.add(TrainingJob("job-1", "tenant-1", "j", JobSpec("a: 1"), 1.0))
    database.close()
    script = f"""
from sixfold.service.domain.jobs import JobEvent
from sixfold.service.stores import open_database
database = open_database("sqlite:///{path}")
with database.reading() as rows:
    seq = rows.events.last_seq("job-1")
while True:
    seq += 1
    with database.transaction() as rows:
        rows.events.add("tenant-1", [JobEvent("job-1", seq, 1.0, "message", "info", "x" * 500)])
    print(seq, flush=True)
"""
    for turn in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(turn + 1):
            kept = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split("\n")[:-1]
        process.wait()
        process.stdout.close()
        kept = int(rest[-1]) if rest else kept
    database = opened(path)
    with database.reading() as rows:
        assert rows.events.last_seq("job-1") in (kept, kept + 1)
        found = rows.events.after("tenant-1", "job-1", 0, 1_000_000)
        assert [each.seq for each in found] == list(range(1, len(found) + 1))
        assert isinstance(found[0], JobEvent)
    database.close()
