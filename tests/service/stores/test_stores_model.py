"""Random operations of three tenants against a plain model in memory: what one does is never seen by another."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixfold.service.domain.errors import Conflict, NotFound
from sixfold.service.domain.files import StoredFile
from sixfold.service.domain.jobs import JobEvent, JobSpec, JobState, TrainingJob
from sixfold.service.domain.people import Tenant
from sixfold.service.domain.registry import RegisteredModel
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery
from sixfold.service.stores.sql_database import SqlDatabase

TURN = itertools.count()
TENANTS, IDS = ("a", "b", "c"), ("1", "2", "3", "4")
VERBS = ("add job", "save job", "stale job", "add file", "remove file", "add model")
VERBS += ("remove model", "add event", "undone")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(VERBS), st.sampled_from(TENANTS), st.sampled_from(IDS), st.integers(0, 5)
    ),
    max_size=40,
)


class MemoryModel:
    """What the rows of three tenants should be: kind → (tenant, id) → value."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.jobs: dict[tuple[str, str], TrainingJob] = {}
        self.files: dict[tuple[str, str], StoredFile] = {}
        self.models: dict[tuple[str, str], RegisteredModel] = {}
        self.events: dict[tuple[str, str, int], JobEvent] = {}

    def act(self, rows: Transaction, step: tuple[str, str, str, int]) -> None:
        verb, owner, each, number = step
        place = (self.names[owner], each)
        getattr(self, verb.replace(" ", "_"))(rows, place, number)

    def add_job(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        job = TrainingJob(place[1], place[0], "j", JobSpec(str(number)), 1.0, priority=number)
        if refused(lambda: rows.jobs.add(job), Conflict) is (place in self.jobs):
            self.jobs.setdefault(place, job)
            return
        raise AssertionError(place)

    def save_job(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        job = rows.jobs.get(*place)
        assert job == self.jobs.get(place)
        if job is None:
            missing = TrainingJob(place[1], place[0], "j", JobSpec(""), 1.0)
            assert refused(lambda: rows.jobs.save(missing), NotFound)
            return
        state = list(JobState)[number]
        self.jobs[place] = rows.jobs.save(replace(job, state=state))

    def stale_job(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        if place in self.jobs:
            stale = replace(self.jobs[place], revision=self.jobs[place].revision - 1)
            assert refused(lambda: rows.jobs.save(stale), Conflict)

    def add_file(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        file = StoredFile(place[1], place[0], "f", "data", number, "d" * 64, 1.0)
        assert refused(lambda: rows.files.add(file), Conflict) is (place in self.files)
        self.files.setdefault(place, file)

    def remove_file(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        assert rows.files.remove(*place) is (self.files.pop(place, None) is not None)

    def add_model(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        model = RegisteredModel(place[1], place[0], f"name-{number}", 1.0)
        names = {(owner, each.name) for (owner, _), each in self.models.items()}
        taken = place in self.models or (place[0], model.name) in names
        assert refused(lambda: rows.models.add(model), Conflict) is taken
        if not taken:
            self.models[place] = model

    def remove_model(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        assert rows.models.remove(*place) is (self.models.pop(place, None) is not None)

    def add_event(self, rows: Transaction, place: tuple[str, str], number: int) -> None:
        if place in self.jobs:
            event = JobEvent(place[1], number + 1, 1.0, "message", "info", str(next(TURN)))
            key = (*place, number + 1)
            assert rows.events.add(place[0], [event]) == (key not in self.events)
            self.events.setdefault(key, event)

    def check(self, rows: Transaction) -> None:
        for tenant_id in self.names.values():
            jobs = own(self.jobs, tenant_id)
            every = PageQuery(limit=10, newest_first=False)
            assert rows.jobs.page(tenant_id, every).rows == jobs
            assert rows.files.page(tenant_id, every).rows == own(self.files, tenant_id)
            assert rows.models.page(tenant_id, every).rows == own(self.models, tenant_id)
            total = sum(file.bytes for file in own(self.files, tenant_id))
            assert rows.files.stored_bytes(tenant_id) == total
            states = Counter(job.state for job in jobs)
            assert rows.jobs.counts(tenant_id) == {state: states[state] for state in JobState}
            for job_id in IDS:
                events = [
                    e for key, e in sorted(self.events.items()) if key[:2] == (tenant_id, job_id)
                ]
                assert rows.events.after(tenant_id, job_id, 0, 99) == tuple(events)


def own(things: dict[tuple[str, str], object], tenant_id: str) -> tuple:
    return tuple(value for key, value in sorted(things.items()) if key[0] == tenant_id)


def refused(act: object, kind: type[Exception]) -> bool:
    try:
        act()
    except kind:
        return True
    return False


class Undone(Exception):
    pass


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_the_stores_do_what_a_plain_model_does(
    database: SqlDatabase, steps: list[tuple[str, str, str, int]]
) -> None:
    turn = next(TURN)
    names = {name: f"{name}-{turn}" for name in TENANTS}
    model = MemoryModel(names)
    with database.transaction() as rows:
        for name in names.values():
            rows.tenants.add(Tenant(name, name, 1.0))
    for step in steps:
        if step[0] == "undone":
            with pytest.raises(Undone), database.transaction() as rows:
                rows.files.remove(names[step[1]], step[2])
                rows.models.remove(names[step[1]], step[2])
                raise Undone
        else:
            with database.transaction() as rows:
                model.act(rows, step)
    with database.reading() as rows:
        model.check(rows)
