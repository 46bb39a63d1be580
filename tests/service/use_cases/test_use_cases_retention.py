"""Runs of jobs that ended long ago go; whatever may be asked for again stays."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from service_worlds import World, holding

from sixfold.service.domain.errors import Conflict
from sixfold.service.domain.jobs import JobFailure, TrainingJob
from sixfold.service.use_cases import files, jobs, retention, workers
from sixfold.service.use_cases.retention import forget_runs
from sixfold.service.use_cases.workers import RunLine

KEEP_S = 100.0


@pytest.fixture
def keeping(here: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Runs are kept for a hundred seconds; two events go at a time."""
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    here.service = replace(
        here.service, settings=replace(here.service.settings, keep_runs_s=KEEP_S)
    )
    return here


def with_run(here: World, **facts: object) -> TrainingJob:
    """A job that runs, with a finished stage and some events."""
    job = here.running(**facts)
    tree, _ = here.service.artifacts.put(io.BytesIO(b"a stage of %b" % job.id.encode()))
    workers.saved(here.service, here.operator, holding(job), tree)
    lines = [RunLine(at, 1.0, "note", "info", f"line {at}") for at in range(1, 7)]
    workers.report(here.service, here.operator, holding(job), lines)
    return jobs.get(here.service, here.operator, job.id)


def kept(here: World, digest: str | None) -> bool:
    with here.service.database.reading() as rows:
        return digest in rows.digests()


def test_a_run_goes_once_its_time_is_over(keeping: World) -> None:
    here = keeping
    data = files.upload(here.service, here.operator, "a.csv", io.BytesIO(b"x"), "data")
    job = with_run(here, files={"a.csv": data.id})
    files.delete(here.service, here.operator, data.id)
    here.finish(job)
    here.clock.at += KEEP_S - 1
    assert forget_runs(here.service) == 0
    assert kept(here, job.run_tree) and kept(here, data.digest)
    here.clock.at += 1
    assert forget_runs(here.service) == 1
    assert not kept(here, job.run_tree) and not kept(here, data.digest)
    found = jobs.get(here.service, here.operator, job.id)
    assert found.state == "succeeded" and found.forgotten_at == here.clock.at
    assert found.spec.recipe == job.spec.recipe and found.result["version"] == 1
    (told,) = jobs.events_after(here.service, here.operator, job.id, 0, 99)
    assert "removed" in told.message and told.seq > 6
    assert forget_runs(here.service) == 0


def test_jobs_that_are_not_over_keep_everything(keeping: World) -> None:
    here = keeping
    running = with_run(here)
    paused = with_run(here)
    jobs.pause(here.service, here.operator, paused.id)
    workers.released(here.service, here.operator, holding(paused), False, ())
    here.clock.at += 10 * KEEP_S
    assert forget_runs(here.service) == 0
    assert kept(here, running.run_tree) and kept(here, paused.run_tree)


def test_a_forgotten_job_is_not_tried_again_and_one_that_was_is_kept(keeping: World) -> None:
    here = keeping
    failure = JobFailure("refused", "no column")
    gone, again = with_run(here), with_run(here)
    for job in (gone, again):
        workers.failed(here.service, here.operator, holding(job), failure)
    here.clock.at += KEEP_S
    jobs.retry(here.service, here.operator, again.id)
    assert forget_runs(here.service) == 1
    assert kept(here, again.run_tree)
    with pytest.raises(Conflict, match="Submit it again"):
        jobs.retry(here.service, here.operator, gone.id)


def test_a_kill_on_the_way_leaves_it_due(keeping: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some events are gone; the rest goes the next time, and what is told is behind all of them."""
    here = keeping
    job = with_run(here)
    here.finish(job)
    here.clock.at += KEEP_S
    with monkeypatch.context() as broken:
        broken.setattr(retention.jobs, "tell", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forget_runs(here.service)
    left = jobs.events_after(here.service, here.operator, job.id, 0, 99)
    assert left and jobs.get(here.service, here.operator, job.id).forgotten_at is None
    assert forget_runs(here.service) == 1
    (told,) = jobs.events_after(here.service, here.operator, job.id, 0, 99)
    assert told.seq == left[-1].seq + 1


def test_without_a_time_nothing_goes(here: World) -> None:
    job = with_run(here)
    here.finish(job)
    here.clock.at += 1e9
    assert forget_runs(here.service) == 0
    assert kept(here, job.run_tree)
