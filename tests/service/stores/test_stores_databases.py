"""What the ports promise, of both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pytest

from sixfold.service.domain.deployments import Canary, Deployment, DeploymentState
from sixfold.service.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.jobs import (
    JobEvent,
    JobFailure,
    JobNeeds,
    JobSpec,
    JobState,
    TrainingJob,
    WorkerMachine,
)
from sixfold.service.domain.keys import ApiKey, digest_of, new_key
from sixfold.service.domain.people import Quota, Scope, Tenant, User
from sixfold.service.domain.records import AuditEntry, Remembered, Usage
from sixfold.service.domain.registry import (
    Alias,
    Lineage,
    ModelVersion,
    RegisteredModel,
    VersionState,
)
from sixfold.service.ports.pages import PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.stores import tables
from sixfold.service.stores.sql_database import SqlDatabase

DIGEST = "ab" * 32


def tenant(database: SqlDatabase, name: str = "one", **quota: int | None) -> Tenant:
    made = Tenant(new_id("tenant"), name, 1.5, Quota(**quota))
    with database.transaction() as rows:
        rows.tenants.add(made)
    return made


def job(owner: Tenant, number: int = 0, **values: object) -> TrainingJob:
    made = TrainingJob(f"job-{number:04}", owner.id, "iris", JobSpec("version: 1"), 2.5)
    return replace(made, **values)


def queued(owner: Tenant, number: int = 0, memory: int = 1, **values: object) -> TrainingJob:
    needs = JobNeeds(memory, 3.0, 4)
    return job(owner, number, **{"state": JobState.QUEUED, "needs": needs, **values})


def worker(free: int = 100) -> WorkerMachine:
    return WorkerMachine("worker-1", "big", 2, 100, free, 1.0, "1", ("cuda:0",))


def test_everything_comes_back_as_it_was(database: SqlDatabase) -> None:
    """Each kind of thing with every field set to something that is not its default."""
    one = tenant(database, memory_bytes=7)
    key = ApiKey(
        "key-1", one.id, "laptop", digest_of(new_key()), "sf_abc", frozenset({Scope.JOBS}), 1.0,
        "user-1", 2.0, 3.0, 4.0, "key-0",
    )  # fmt: skip
    user = User("user-1", one.id, "Ada", 1.0, frozenset({Scope.READ}), "issuer ada")
    file = StoredFile("file-1", one.id, "ü\n.csv", "data", 5, DIGEST, 1.0, expires_at=9.0)
    full = job(
        one,
        1,
        spec=JobSpec(
            "a: 1", {"a.csv": DIGEST}, "fine-tune", "m", {"metadata": {"b": "\0", "a": 1}}
        ),
        failure=JobFailure("crashed", "why", "epochs", ("last", "\ud800")),
        needs=JobNeeds(1 << 60, 2.5, 3),
        result={"loss": [0.1, 1e300]},
        progress={"epoch": 3},
    )
    model = RegisteredModel("model-1", one.id, "iris", 1.0, "of flowers")
    version = ModelVersion(
        "version-1", one.id, model.id, 1, DIGEST, 10, 1.0, {"task": "t"}, {"r": 1},
        Lineage("job-1", DIGEST, {"a": DIGEST}, "base"), served_as="ft:iris",
    )  # fmt: skip
    alias = Alias(one.id, model.id, "production", version.id, 5.0, ("version-0",))
    deployment = Deployment("deploy-1", one.id, "iris", version.id, 1.0, canary=Canary("v", 0.1))
    event = JobEvent(full.id, 1, 1.0, "message", "info", "hello", {"a": [None]})
    audit = AuditEntry("audit-1", one.id, 1.0, "key-1", "jobs.create", full.id, detail={"a": 1})
    with database.transaction() as rows:
        rows.keys.add(key)
        rows.users.add(user)
        rows.files.add(file)
        rows.jobs.add(full)
        rows.models.add(model)
        rows.versions.add(version)
        rows.models.point(alias)
        rows.deployments.add(deployment)
        assert rows.events.add(one.id, [event]) == 1
        rows.workers.save(worker())
        rows.records.audit(audit)
    for begun in (database.transaction, database.reading):
        with begun() as rows:
            assert rows.tenants.get(one.id) == rows.tenants.named("one") == one
            assert rows.keys.get(one.id, key.id) == rows.keys.of_hash(key.hash) == key
            assert rows.users.get(one.id, user.id) == rows.users.of_subject("issuer ada") == user
            assert rows.files.get(one.id, file.id) == file
            assert rows.jobs.get(one.id, full.id) == rows.jobs.find(full.id) == full
            assert rows.models.get(one.id, model.id) == rows.models.named(one.id, "iris") == model
            assert rows.versions.get(one.id, version.id) == version
            assert rows.versions.served(one.id, "ft:iris") == version
            assert rows.versions.of_model(one.id, model.id, VersionQuery()).rows == (version,)
            assert rows.versions.tuned(one.id) == (version,)
            assert rows.versions.numbered(one.id, model.id, version.number) == version
            assert rows.models.aliases(one.id, model.id) == (alias,)
            assert rows.deployments.named(one.id, "iris") == deployment
            assert rows.deployments.all() == (deployment,)
            assert rows.events.after(one.id, full.id, 0, 9) == (event,)
            assert rows.workers.all() == (worker(),)
            assert rows.records.audited(one.id, PageQuery()).rows == (audit,)
            assert list(rows.jobs.get(one.id, full.id).spec.options["metadata"]) == ["b", "a"]
            assert rows.digests() == {DIGEST}


def test_nothing_is_kept_of_what_fails(database: SqlDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as rows:
        rows.tenants.add(Tenant("tenant-1", "one", 1.0))
        raise ZeroDivisionError
    with database.transaction() as rows:
        assert rows.tenants.get("tenant-1") is None


def test_a_conflict_leaves_the_transaction_usable(database: SqlDatabase) -> None:
    one = tenant(database)
    with database.transaction() as rows:
        rows.jobs.add(job(one))
        with pytest.raises(Conflict, match="one that is taken"):
            rows.jobs.add(job(one))
        with pytest.raises(Conflict, match="tenant one"):
            rows.tenants.add(Tenant("tenant-2", "one", 1.0))
        rows.jobs.add(job(one, 1))
    with database.reading() as rows:
        assert len(rows.jobs.page(one.id, PageQuery()).rows) == 2


def test_a_write_from_an_older_revision_is_refused(database: SqlDatabase) -> None:
    one = tenant(database)
    first = job(one)
    with database.transaction() as rows:
        rows.jobs.add(first)
        second = rows.jobs.save(replace(first, priority=1))
        assert second.revision == 1
        with pytest.raises(Conflict, match="revision 0; found that it was changed meanwhile"):
            rows.jobs.save(replace(first, priority=2))
        with pytest.raises(NotFound):
            rows.jobs.save(job(one, 5))
        deployment = Deployment("deploy-1", one.id, "iris", "version-1", 1.0)
        rows.deployments.add(deployment)
        assert rows.deployments.save(deployment).generation == 2
        with pytest.raises(Conflict):
            rows.deployments.save(replace(deployment, state=DeploymentState.READY))
    with database.reading() as rows:
        assert rows.jobs.get(one.id, first.id) == second


def test_names_are_unique_in_their_tenant_alone(database: SqlDatabase) -> None:
    for owner in (tenant(database, "one"), tenant(database, "two")):
        with database.transaction() as rows:
            rows.models.add(RegisteredModel("model-1", owner.id, "iris", 1.0))
            rows.versions.add(
                ModelVersion("v", owner.id, "model-1", 1, DIGEST, 1, 1.0, served_as="ft")
            )
            rows.deployments.add(Deployment("deploy-1", owner.id, "iris", "v", 1.0))
            rows.users.add(User("user-1", owner.id, "Ada", 1.0))
            with pytest.raises(Conflict):
                rows.models.add(RegisteredModel("model-2", owner.id, "iris", 1.0))
            with pytest.raises(Conflict):
                rows.versions.add(ModelVersion("w", owner.id, "model-1", 1, DIGEST, 1, 1.0))
            with pytest.raises(Conflict):
                rows.users.add(User("user-2", owner.id, "Ada", 1.0))
    with database.transaction() as rows:
        rows.users.add(User("user-3", owner.id, "Eve", 1.0, subject="eve"))
        with pytest.raises(Conflict):
            rows.users.add(User("user-4", owner.id, "Eva", 1.0, subject="eve"))


def test_pages_go_through_all_in_both_directions(database: SqlDatabase) -> None:
    one, two = tenant(database, "one"), tenant(database, "two")
    with database.transaction() as rows:
        for number in range(7):
            kind = "fine-tune" if number % 2 else "run"
            rows.jobs.add(job(one, number, spec=JobSpec("a: 1", kind=kind)))
            rows.jobs.add(job(two, 100 + number))
    ids = [f"job-{number:04}" for number in range(7)]
    with database.reading() as rows:
        for newest_first in (True, False):
            found: list[str] = []
            query = PageQuery(limit=3, newest_first=newest_first)
            while True:
                page = rows.jobs.page(one.id, query)
                found += [row.id for row in page.rows]
                if not page.more:
                    break
                query = replace(query, after=found[-1])
            assert found == (ids[::-1] if newest_first else ids)
        tuned = rows.jobs.page(one.id, PageQuery(where={"kind": "fine-tune"}))
        assert [row.id for row in tuned.rows] == ["job-0005", "job-0003", "job-0001"]
        for bad in ({"tenant_id": two.id}, {"priority": "1"}, {"a' OR 1=1 --": "x"}):
            with pytest.raises(InvalidRequest, match="the filter of jobs: expected one of"):
                rows.jobs.page(one.id, PageQuery(where=bad))
        with pytest.raises(InvalidRequest, match="limit"):
            rows.jobs.page(one.id, PageQuery(limit=0))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x'; DROP TABLE jobs; --", "%", "", "😀"])
def test_any_text_is_asked_for_or_refused(database: SqlDatabase, text: str) -> None:
    one = tenant(database)
    with database.transaction() as rows:
        rows.jobs.add(job(one))
        try:
            assert rows.jobs.get(one.id, text) is None
            assert rows.jobs.page(one.id, PageQuery(where={"name": text})).rows == ()
            assert rows.jobs.get(one.id, "job-0000") is not None
        except InvalidRequest as refused:
            assert "\0" in text or text == "\ud800", refused


def test_numbers_too_large_are_refused(database: SqlDatabase) -> None:
    one = tenant(database)
    with (
        pytest.raises(InvalidRequest, match="numbers of at most 64 bits"),
        database.transaction() as rows,
    ):
        rows.jobs.add(job(one, priority=1 << 70))


def test_what_belongs_together_is_there(database: SqlDatabase) -> None:
    one = tenant(database)
    for broken in (
        lambda rows: rows.jobs.add(job(replace(one, id="tenant-0"))),
        lambda rows: rows.events.add(one.id, [JobEvent("job-9", 1, 1.0, "message", "info", "")]),
        lambda rows: rows.models.point(Alias(one.id, "model-9", "production", "version-9", 1.0)),
    ):
        with pytest.raises(Conflict, match="one that is missing"), database.transaction() as rows:
            broken(rows)


def test_the_next_job_is_the_one_that_is_due(database: SqlDatabase) -> None:
    one = tenant(database, "one", jobs_running=1)
    two = tenant(database, "two", memory_bytes=50)
    with database.transaction() as rows:
        for made in (
            queued(one, 1),
            queued(one, 2),
            queued(two, 3, 40),
            queued(two, 4, 20),
            queued(two, 5, 10),
            queued(two, 6, priority=5, memory=1000),
            job(one, 7),
            job(one, 8, state=JobState.PAUSED),
            job(one, 9, state=JobState.SUCCEEDED),
        ):
            rows.jobs.add(made)
    order = []
    for _ in range(9):
        with database.transaction() as rows:
            due = rows.jobs.next_for(worker())
            if due is None:
                break
            order.append(due.id)
            rows.jobs.save(due.claimed("worker-1", 3.0))
    # 6 never fits; 1 fills the quota of `one`, whose 7 is only to be planned; 3 leaves `two` room for 5, not for 4
    assert order == ["job-0001", "job-0003", "job-0005", "job-0007"]
    with database.reading() as rows:
        assert [held.job_id for held in rows.jobs.held()] == sorted(order)
        assert rows.jobs.counts(one.id)[JobState.RUNNING] == 1
        assert rows.jobs.counts(one.id)[JobState.FAILED] == 0


def test_each_job_is_claimed_once_by_many_workers_at_once(database: SqlDatabase) -> None:
    """And no more of a tenant's than its quota says."""
    owners = [tenant(database, f"t{number}", jobs_running=3) for number in range(4)]
    with database.transaction() as rows:
        for number in range(40):
            rows.jobs.add(queued(owners[number % 4], number))

    def claim(turn: int) -> str | None:
        with database.transaction() as rows:
            due = rows.jobs.next_for(worker())
            if due is not None:
                rows.jobs.save(due.claimed(f"worker-{turn}", 3.0))
            return due and due.id

    with ThreadPoolExecutor(8) as pool:
        claimed = [found for found in pool.map(claim, range(40)) if found]
    assert len(claimed) == len(set(claimed)) == 12
    with database.reading() as rows:
        assert {rows.jobs.counts(owner.id)[JobState.RUNNING] for owner in owners} == {3}


def test_what_a_transaction_read_by_id_nobody_changes_meanwhile(database: SqlDatabase) -> None:
    """100 times plus one, in 4 threads at once."""
    one = tenant(database)
    with database.transaction() as rows:
        rows.jobs.add(job(one))

    def add(_: int) -> None:
        for _ in range(25):
            with database.transaction() as rows:
                found = rows.jobs.get(one.id, "job-0000")
                assert found is not None
                rows.jobs.save(replace(found, beat=found.beat + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    with database.reading() as rows:
        assert rows.jobs.find("job-0000").beat == 100


def test_who_reads_waits_for_nobody(database: SqlDatabase) -> None:
    one = tenant(database)
    with database.transaction() as rows:
        rows.jobs.add(job(one))
        found: list[object] = []

        def look() -> None:
            with database.reading() as reading:
                found.append(reading.jobs.get(one.id, "job-0000"))
                found.append(reading.tenants.get(one.id))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(30)
        assert found == [None, one]


def test_who_reads_cannot_write(database: SqlDatabase) -> None:
    one = tenant(database)
    with pytest.raises(Unavailable, match=r"read-?only"), database.reading() as rows:
        rows.jobs.add(job(one))
    with database.transaction() as rows:
        rows.jobs.add(job(one))


def test_events_are_kept_once_and_in_order(database: SqlDatabase) -> None:
    one, two = tenant(database, "one"), tenant(database, "two")
    events = [JobEvent("job-0000", n, 1.0, "message", "info", str(n)) for n in range(1, 6)]
    with database.transaction() as rows:
        rows.jobs.add(job(one))
        assert rows.events.last_seq("job-0000") == 0
        assert rows.events.add(one.id, events[:3]) == 3
        changed = [replace(event, message="changed") for event in events]
        assert rows.events.add(one.id, changed[1:]) == 2
        assert rows.events.add(one.id, []) == 0
        assert rows.events.last_seq("job-0000") == 5
        kept = (*events[:3], *changed[3:])
        assert rows.events.after(one.id, "job-0000", 0, 9) == kept
        assert rows.events.after(one.id, "job-0000", 2, 2) == kept[2:4]
        assert rows.events.before(one.id, "job-0000", None, 2) == kept[:2:-1]
        assert rows.events.before(one.id, "job-0000", 3, 9) == kept[1::-1]
        assert rows.events.after(two.id, "job-0000", 0, 9) == ()
        assert rows.events.remove(two.id, "job-0000", 5) == 0
        assert rows.events.remove(one.id, "job-0000", 4) == 4
        assert rows.events.after(one.id, "job-0000", 0, 9) == kept[4:]


def test_events_of_some_kinds_are_found_among_many(database: SqlDatabase) -> None:
    one, two = tenant(database, "one"), tenant(database, "two")
    kinds = ("epoch", "stage_started", "epoch", "stage_finished", "epoch", "stage_started")
    events = [JobEvent("job-0000", n, 1.0, kind, "info", "") for n, kind in enumerate(kinds, 1)]
    with database.transaction() as rows:
        rows.jobs.add(job(one))
        rows.events.add(one.id, events)
        wanted = {"stage_started", "stage_finished"}
        assert rows.events.of_kinds(one.id, "job-0000", wanted, 0) == tuple(events[1::2])
        assert rows.events.of_kinds(one.id, "job-0000", wanted, 2) == (events[3], events[5])
        assert rows.events.of_kinds(one.id, "job-0000", {"message"}, 0) == ()
        assert rows.events.of_kinds(two.id, "job-0000", wanted, 0) == ()


def test_counts_of_use_add_up(database: SqlDatabase) -> None:
    one = tenant(database)
    with ThreadPoolExecutor(4) as pool:

        def add(turn: int) -> None:
            with database.transaction() as rows:
                rows.records.add_usage(Usage(one.id, "key-1", 3600 * (turn % 2), 1, 0, 2, 3, 0.5))

        list(pool.map(add, range(20)))
    with database.reading() as rows:
        assert rows.records.usage(one.id, 0) == tuple(
            Usage(one.id, "key-1", hour, 10, 0, 20, 30, 5.0) for hour in (0, 3600)
        )
        assert len(rows.records.usage(one.id, 1)) == 1


def test_of_50_equal_requests_at_once_one_is_new(database: SqlDatabase) -> None:
    one = tenant(database)
    row = Remembered(one.id, "same", "hash", 5.0)

    def ask(_: int) -> Remembered | None:
        with database.transaction() as rows:
            return rows.records.remember(row)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(50)))
    assert found.count(None) == 1
    assert found.count(row) == 49
    with database.transaction() as rows:
        rows.records.answered(one.id, "same", 201, {"id": "job-1"})
        assert rows.records.remember(row) == replace(row, status=201, answer={"id": "job-1"})
        rows.records.forget(one.id, "same")
        assert rows.records.remember(row) is None
        assert rows.records.forget_before(5.0) == 0
        assert rows.records.forget_before(5.1) == 1


def test_only_a_valid_key_counts(database: SqlDatabase) -> None:
    one = tenant(database)
    key = ApiKey("key-1", one.id, "a", "h", "sf_", frozenset({Scope.OPERATE}), 1.0, expires_at=10.0)
    with database.transaction() as rows:
        assert not rows.keys.any_of(Scope.OPERATE, 5.0)
        rows.keys.add(key)
        assert rows.keys.any_of(Scope.OPERATE, 5.0)
        assert not rows.keys.any_of(Scope.ADMIN, 5.0)
        assert not rows.keys.any_of(Scope.OPERATE, 10.0)
        rows.keys.save(replace(key, revoked_at=4.0))
        assert not rows.keys.any_of(Scope.OPERATE, 5.0)


def test_files_are_counted_and_expire(database: SqlDatabase) -> None:
    one, two = tenant(database, "one"), tenant(database, "two")
    with database.transaction() as rows:
        for number, owner in enumerate((one, one, two)):
            expires = float(number) if number else None
            rows.files.add(
                StoredFile(
                    f"file-{number}", owner.id, "a", "data", 5, DIGEST, 1.0, expires_at=expires
                )
            )
        assert rows.files.stored_bytes(one.id) == 10
        assert [file.id for file in rows.files.expired(2.0, 9)] == ["file-1", "file-2"]
        assert rows.files.remove(one.id, "file-0")
        assert not rows.files.remove(one.id, "file-2")
        assert rows.files.stored_bytes(one.id) == 5


def test_a_model_goes_with_its_versions_and_one_in_use_stays(database: SqlDatabase) -> None:
    one = tenant(database)
    with database.transaction() as rows:
        rows.models.add(RegisteredModel("model-1", one.id, "iris", 1.0))
        rows.versions.add(ModelVersion("version-1", one.id, "model-1", 1, DIGEST, 1, 1.0))
        rows.models.point(Alias(one.id, "model-1", "production", "version-1", 1.0))
    with pytest.raises(Conflict, match="in use"), database.transaction() as rows:
        rows.versions.remove(one.id, "version-1")
    with database.transaction() as rows:
        assert rows.models.remove(one.id, "model-1")
        assert not rows.models.remove(one.id, "model-1")
        assert rows.versions.of_model(one.id, "model-1", VersionQuery()).rows == ()


def test_versions_of_a_model_come_in_pages(database: SqlDatabase) -> None:
    one, other = tenant(database), tenant(database, "other")
    with database.transaction() as rows:
        for owner in (one, other):
            rows.models.add(RegisteredModel("model-1", owner.id, "iris", 1.0))
        for number in range(1, 8):
            state = VersionState.RETIRED if number in (2, 7) else VersionState.ACTIVE
            served = "ft:iris" if number in (3, 7) else None
            facts = ModelVersion(f"version-{9 - number}", one.id, "model-1", number, DIGEST, 1, 1.0)
            rows.versions.add(replace(facts, state=state, served_as=served and f"{served}{number}"))
    asked = {
        VersionQuery(): ([7], True),
        VersionQuery(9): ([7, 6, 5, 4, 3, 2, 1], False),
        VersionQuery(3, before=4): ([3, 2, 1], False),
        VersionQuery(2, before=4): ([3, 2], True),
        VersionQuery(1, before=1): ([], False),
        VersionQuery(2, state=VersionState.ACTIVE): ([6, 5], True),
        VersionQuery(2, before=3, state=VersionState.ACTIVE): ([1], False),
    }
    with database.reading() as rows:
        for query, (numbers, more) in asked.items():
            found = rows.versions.of_model(one.id, "model-1", query)
            assert ([each.number for each in found.rows], found.more) == (numbers, more), query
        assert [each.number for each in rows.versions.tuned(one.id)] == [3]
        assert rows.versions.numbered(one.id, "model-1", 8) is None
        assert rows.versions.of_model(other.id, "model-1", VersionQuery(9)).rows == ()
        assert rows.versions.numbered(other.id, "model-1", 1) is None
        assert rows.versions.tuned(other.id) == ()


def test_every_table_and_unique_key_is_of_a_tenant() -> None:
    """But for what finds a tenant, and workers."""
    alone = {"tenants": {("id",), ("name",)}, "workers": {("id",)}}
    alone |= {"users": {("subject",)}, "keys": {("hash",)}}
    for table in tables.metadata.tables.values():
        unique = {tuple(key.columns.keys()) for key in table.constraints if hasattr(key, "columns")}
        names = {key for key in unique if "tenant_id" not in key}
        assert names == alone.get(table.name, set()), table.name
        assert "tenant_id" in table.c or table.name in ("tenants", "workers")


def test_no_field_of_the_domain_is_lost() -> None:
    """A column of a field's name holds that field."""
    for kind, table in ((TrainingJob, tables.jobs), (StoredFile, tables.files)):
        names = {each.name for each in fields(kind)}
        derived = {"kind", "needs_memory_bytes", "details"}
        assert set(table.c.keys()) - derived <= names
