"""Jobs from their owners' and their workers' sides."""

from __future__ import annotations

import dataclasses
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_worlds import NEEDS, RECIPE, World, holding

from sixfold.core.units import show_seconds
from sixfold.service.domain.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Unprocessable,
)
from sixfold.service.domain.jobs import JobNeeds, JobState
from sixfold.service.domain.people import Quota, Scope
from sixfold.service.ports.pages import PageQuery
from sixfold.service.ports.registry import VersionQuery
from sixfold.service.use_cases import files, jobs, registry, workers
from sixfold.service.use_cases.idempotency import OnceOnly, once
from sixfold.service.use_cases.jobs import JobRequest
from sixfold.service.use_cases.observer import Observer
from sixfold.service.use_cases.workers import RunLine


def test_a_job_from_submit_to_a_version(here: World) -> None:
    job = here.finish(here.running(priority=3))
    assert job.state is JobState.SUCCEEDED and job.priority == 3
    found = registry.model(here.service, here.operator, "iris", VersionQuery(9))
    versions = found.versions.rows
    assert [one.number for one in versions] == [1]
    assert versions[0].lineage.job_id == job.id and versions[0].lineage.recipe == RECIPE
    assert found.model.name == "iris"
    told = [one.message for one in jobs.events_after(here.service, here.operator, job.id, 0, 99)]
    assert (
        told[0].startswith("The job is accepted")
        and told[-1] == "The job succeeded: iris version 1."
    )


def test_a_second_job_of_the_name_adds_a_version(here: World) -> None:
    for number in (1, 2):
        job = here.finish(here.running())
        assert job.result["version"] == number


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ("version: 1\nname: x\nbogus: 1\n", "bogus"),
        ("name: [", "recipe.yaml"),
        (RECIPE.replace("sklearn:iris", "/etc/passwd"), "data.source"),
        (RECIPE.replace("sklearn:iris", "../x.csv"), "data.source"),
        (RECIPE.replace("sklearn:iris", "a/../../x.csv"), "data.source"),
        (RECIPE.replace("sklearn:iris", "~/x.csv"), "data.source"),
    ],
)
@pytest.mark.parametrize("name", [None, "given"])
def test_a_recipe_that_cannot_be_is_refused(
    here: World, recipe: str, where: str, name: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        jobs.submit(here.service, here.operator, JobRequest(recipe, name=name))
    assert where in str(caught.value)
    assert not jobs.page(here.service, here.operator, PageQuery()).rows


@pytest.mark.parametrize(
    "path", ["", "/a", "a/../b", "./a", "a//b", "recipe.yaml", "a\\b", "a\nb", ".."]
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        jobs.checked_path(path)


def test_inputs_are_files_of_the_tenant(here: World) -> None:
    other = here.tenant("other")
    mine = files.upload(here.service, here.operator, "a.csv", io.BytesIO(b"x"), "data")
    job = here.submit(files={"in/a.csv": mine.id})
    assert job.spec.inputs == {"in/a.csv": mine.digest}
    with pytest.raises(NotFound):
        here.submit(other, files={"a.csv": mine.id})


def test_admission_waits_for_memory(here: World) -> None:
    here.submit()
    here.plan(JobNeeds(5000, 1.0, 1))
    assert here.claim(free_bytes=4999) is None
    job = here.claim(free_bytes=5000)
    assert job is not None and job.state is JobState.RUNNING


def test_admission_keeps_the_tenants_quota(here: World) -> None:
    who = here.tenant("small", Quota(jobs_running=1, jobs_waiting=2))
    for _ in range(2):
        here.submit(who)
    with pytest.raises(QuotaExceeded) as caught:
        here.submit(who)
    assert caught.value.retry_after_s
    for _ in range(2):
        here.plan()
    assert here.claim() is not None
    assert here.claim() is None, "the second one waits for the first"


@pytest.mark.parametrize(("most_s", "taken_s"), [(60, 60.0), (60, 60.5), (0, 0.1), (None, 1e9)])
def test_a_job_that_is_planned_to_take_too_long_fails_before_it_runs(
    here: World, most_s: int | None, taken_s: float
) -> None:
    who = here.tenant("hasty", Quota(job_time_s=most_s))
    here.submit(who)
    job = here.plan(JobNeeds(1000, taken_s, 1))
    if most_s is None or taken_s <= most_s:
        assert job.state is JobState.QUEUED and here.claim() is not None
        return
    assert job.state is JobState.FAILED and job.failure is not None
    assert (job.failure.code, job.failure.param) == ("budget", "quota.job_time_s")
    assert show_seconds(most_s) in job.failure.message
    assert show_seconds(taken_s) in job.failure.message
    assert here.claim() is None
    told = jobs.events_after(here.service, who, job.id, 0, 100)
    assert told[-1].level == "error" and "quota.job_time_s" in told[-1].message


def test_tenants_take_turns(here: World) -> None:
    many, few = here.tenant("many"), here.tenant("few")
    for _ in range(3):
        here.submit(many)
    here.submit(few)
    for _ in range(4):
        here.plan()
    order = [job.tenant_id for job in (here.claim() for _ in range(4)) if job is not None]
    assert order[0] == many.tenant_id and order[1] == few.tenant_id


def test_priority_goes_first(here: World) -> None:
    low = here.submit(priority=-5)
    high = here.submit(priority=5)
    first = here.claim()
    second = here.claim()
    assert first is not None and second is not None
    assert (first.id, second.id) == (high.id, low.id)


def test_a_stale_attempt_writes_nothing(here: World) -> None:
    old = here.running()
    workers.released(here.service, here.operator, holding(old), True, ("Killed",))
    new = here.claim("other")
    assert new is not None and new.attempt == old.attempt + 1
    before = jobs.get(here.service, here.operator, old.id)
    line = RunLine(1, 0.0, "note", "info", "x")
    for write in (
        lambda: workers.beat(here.service, here.operator, holding(old), {}),
        lambda: workers.report(here.service, here.operator, holding(old), [line]),
        lambda: workers.saved(here.service, here.operator, holding(old), "1" * 64),
        lambda: workers.released(here.service, here.operator, holding(old), False, ()),
        lambda: here.finish(old),
    ):
        with pytest.raises(Conflict):
            write()
    assert jobs.get(here.service, here.operator, old.id) == before


def test_an_event_told_twice_is_kept_once(here: World) -> None:
    job = here.running()
    lines = [RunLine(at, 0.0, "note", "info", f"line {at}") for at in range(1, 6)]
    assert workers.report(here.service, here.operator, holding(job), lines[:3]) == 3
    assert workers.report(here.service, here.operator, holding(job), lines) == 2
    told = jobs.events_after(here.service, here.operator, job.id, 0, 99)
    assert [one.message for one in told if one.kind == "note"] == [
        f"line {at}" for at in range(1, 6)
    ]
    assert [one.seq for one in told] == list(range(1, len(told) + 1))


def test_a_silent_worker_loses_its_job_and_one_that_beats_keeps_it(here: World) -> None:
    job, now = here.running(), [100.0]
    observer = Observer(here.service, lambda: now[0])
    for _ in range(20):
        now[0] += 1.0
        workers.beat(here.service, here.operator, holding(job), {})
        assert observer.look() == ()
    here.clock.at += 1e6  # a wall clock that jumps takes nothing away
    assert observer.look() == ()
    now[0] += 5.1
    assert observer.look() == (job.id,)
    free = jobs.get(here.service, here.operator, job.id)
    assert free.state is JobState.QUEUED and free.crashes == 1
    with pytest.raises(Conflict):
        workers.beat(here.service, here.operator, holding(job), {})


def test_a_server_that_starts_again_grants_a_whole_lease(here: World) -> None:
    job, now = here.running(), [0.0]
    now[0] = 1000.0
    assert Observer(here.service, lambda: now[0]).look() == ()
    assert jobs.get(here.service, here.operator, job.id).worker_id == job.worker_id


def test_pause_resume_cancel(here: World) -> None:
    job = here.running()
    assert jobs.pause(here.service, here.operator, job.id).state is JobState.RUNNING
    assert workers.beat(here.service, here.operator, holding(job), {}) == "pause"
    assert (
        workers.released(here.service, here.operator, holding(job), False, ()).state
        is JobState.PAUSED
    )
    assert here.claim() is None
    assert jobs.resume(here.service, here.operator, job.id).state is JobState.QUEUED
    again = here.claim()
    assert again is not None and again.attempt == job.attempt + 1
    jobs.cancel(here.service, here.operator, job.id)
    assert workers.beat(here.service, here.operator, holding(again), {}) == "cancel"
    workers.released(here.service, here.operator, holding(again), False, ())
    with pytest.raises(Conflict):
        jobs.pause(here.service, here.operator, job.id)


def test_a_wish_during_validation_is_kept(here: World) -> None:
    here.submit()
    job = here.claim()
    assert job is not None
    jobs.pause(here.service, here.operator, job.id)
    assert (
        workers.planned(here.service, here.operator, holding(job), NEEDS).state is JobState.PAUSED
    )


def test_another_tenant_sees_nothing(here: World) -> None:
    job, other = here.running(), here.tenant("other")
    for ask in (jobs.get, jobs.cancel, jobs.pause, jobs.resume, jobs.retry):
        with pytest.raises(NotFound):
            ask(here.service, other, job.id)
    with pytest.raises(NotFound):
        jobs.events_after(here.service, other, job.id, 0, 10)
    assert jobs.page(here.service, other, PageQuery()).rows == ()


def test_a_key_without_the_scope_is_refused(here: World) -> None:
    reader = dataclasses.replace(here.operator, scopes=frozenset({Scope.READ}))
    with pytest.raises(Forbidden):
        here.submit(reader)
    with pytest.raises(Forbidden):
        workers.claim(here.service, reader, here.worker(), 1)


@given(st.integers(1, 5))
def test_a_key_sent_again_creates_one_job(times: int) -> None:
    import tempfile
    from pathlib import Path

    from service_worlds import world

    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as here:
        asked = OnceOnly("k", "hash")

        def work(rows: object) -> tuple[int, dict[str, str]]:
            job = jobs.accept(here.service, rows, here.operator, JobRequest(RECIPE))  # type: ignore[arg-type]
            return 201, {"id": job.id}

        answers = [once(here.service, here.operator, asked, work) for _ in range(times)]
        assert all(answer == answers[0] for answer in answers)
        assert len(jobs.page(here.service, here.operator, PageQuery()).rows) == 1
        with pytest.raises(Unprocessable):
            once(here.service, here.operator, OnceOnly("k", "another"), work)


def test_what_fails_may_be_sent_again(here: World) -> None:
    asked = OnceOnly("k", "hash")

    def fails(rows: object) -> tuple[int, dict[str, str]]:
        raise Conflict("a", "b", "c", "d")

    with pytest.raises(Conflict):
        once(here.service, here.operator, asked, fails)
    assert once(here.service, here.operator, asked, lambda rows: (200, {}))[0] == 200
