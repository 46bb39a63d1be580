"""What workers ask and tell when something went wrong on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_worlds import World, holding, world

from sixfold.service.domain.errors import Conflict, Unavailable
from sixfold.service.use_cases import jobs, workers
from sixfold.service.use_cases.observer import Observer


def test_a_job_whose_answer_was_lost_is_given_again(here: World) -> None:
    job = here.running()
    ask = (here.service, here.operator, here.worker(), 1 << 30)
    assert workers.claim(*ask, frozenset({job.id})) is None
    assert workers.claim(*ask, frozenset()) == job
    here.finish(job)
    assert workers.claim(*ask, frozenset()) is None


def test_a_job_of_another_worker_is_not_given_again(here: World) -> None:
    here.running()
    ask = (here.service, here.operator, here.worker("other"), 1 << 30)
    assert workers.claim(*ask, frozenset()) is None


def test_crashes_count_until_a_stage_is_finished(here: World) -> None:
    job = here.running()
    for tree in ("a" * 64, "b" * 64, "c" * 64):
        for _ in range(2):
            workers.released(here.service, here.operator, holding(job), True, ["last"])
            job = here.claim()
            assert job is not None
        workers.saved(here.service, here.operator, holding(job), tree)
        workers.saved(here.service, here.operator, holding(job), tree)
    for state in ("queued", "queued", "failed"):
        job = workers.released(here.service, here.operator, holding(job), True, ["last"])
        assert job.state == state
        job = here.claim() or job
    assert job.failure is not None
    assert job.failure.last_lines == ("last",)


def test_the_same_stages_told_again_are_no_progress(here: World) -> None:
    job = here.running()
    workers.saved(here.service, here.operator, holding(job), "a" * 64)
    for state in ("queued", "queued", "failed"):
        job = workers.released(here.service, here.operator, holding(job), True, ["last"])
        assert job.state == state
        if state == "queued":
            job = here.claim()
            workers.saved(here.service, here.operator, holding(job), "a" * 64)


def test_a_crash_is_told_with_the_last_lines(here: World) -> None:
    job = here.running()
    workers.released(here.service, here.operator, holding(job), True, ["one", "two"])
    told = jobs.events_after(here.service, here.operator, job.id, 0, 100)[-1]
    assert (told.level, told.data) == ("warn", {"last_lines": ["one", "two"]})


@pytest.mark.parametrize("version", ["", "0.0.1"])
def test_another_version_takes_no_job(here: World, version: str) -> None:
    worker = here.worker()
    with here.service.database.transaction() as rows:
        machine = rows.workers.get(worker)
        rows.workers.save(replace(machine, version=version))
    with pytest.raises(Conflict, match=r"expected Sixfold .*, as the server has"):
        workers.claim(here.service, here.operator, here.worker(), 1)
    with pytest.raises(Conflict, match="start it again"):
        workers.hello(here.service, here.operator, replace(machine, version=version))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5))
def test_a_clock_that_jumps_takes_no_job(jumps: list[float]) -> None:
    with TemporaryDirectory() as folder, world(Path(folder)) as here:
        job = here.running()
        observer = Observer(here.service, lambda: 0.0)
        for jump in jumps:
            here.clock.at = max(1.0, here.clock.at + jump)
            assert observer.look() == ()
            workers.beat(here.service, here.operator, holding(job), {})
        here.finish(job)


def test_who_could_not_look_takes_no_job(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away no worker can tell that it lives: then each has a whole lease."""
    job, now = here.running(), 0.0
    observer = Observer(here.service, lambda: now)
    lease_s = here.service.settings.lease_s
    assert observer.look() == ()
    now += 10 * lease_s

    def gone() -> None:
        raise Unavailable("the database", "one that answers", "none", "Ask again.")

    with monkeypatch.context() as away:
        away.setattr(here.service.database, "reading", gone)
        with pytest.raises(Unavailable):
            observer.look()
    assert observer.look() == ()
    now += lease_s + 1
    assert observer.look() == (job.id,)


def test_a_server_that_died_is_no_crash_of_its_jobs(here: World) -> None:
    job = here.running()
    Observer(here.service).lost(here.worker(), crashed=False)
    free = jobs.get(here.service, here.operator, job.id)
    assert (free.state, free.crashes, free.worker_id) == ("queued", 0, None)
