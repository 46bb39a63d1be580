"""What may become of a job: every path of claims, wishes, crashes and stale writes keeps the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.service.domain.errors import Conflict
from sixfold.service.domain.jobs import (
    CLAIMABLE,
    MOST_CRASHES,
    JobNeeds,
    JobSpec,
    JobState,
    TrainingJob,
    Wish,
)

STEPS = ("claim", "plan", "crash", "release", "succeed", "cancel", "pause", "resume", "retry")


def new() -> TrainingJob:
    return TrainingJob("job-1", "tenant-1", "iris", JobSpec("recipe"), 0.0)


def step(job: TrainingJob, what: str, at: float) -> TrainingJob:
    """The step, where the job is one that it can be done to; else the job."""
    held = job.worker_id is not None
    if what == "claim":
        return job.claimed("w", at) if not held and job.state in CLAIMABLE else job
    if what == "plan":
        validating = held and job.state is JobState.VALIDATING
        return job.planned(JobNeeds(1, 1.0, 1), 0.0) if validating else job
    if what in ("crash", "release"):
        return job.released(at, what == "crash", ("last",)) if held else job
    if what == "succeed":
        running = held and job.state is JobState.RUNNING
        return job.ended(JobState.SUCCEEDED, at) if running else job
    try:
        return job.cancel(at) if what == "cancel" else getattr(job, what)()
    except Conflict:
        return job


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_every_path_keeps_the_rules(steps: list[str]) -> None:
    job, attempts = new(), [0]
    for at, what in enumerate(steps):
        before, job = job, step(job, what, float(at))
        attempts.append(job.attempt)
        assert not (job.finished and job.worker_id), "a finished job is nobody's"
        assert (job.finished_at is not None) == job.finished
        assert job.worker_id is None or job.state in (JobState.VALIDATING, JobState.RUNNING)
        assert job.state is not JobState.RUNNING or job.worker_id or job.needs is not None
        assert job.state is not JobState.SUCCEEDED or before.state in (
            JobState.RUNNING,
            JobState.SUCCEEDED,
        )
        assert job.crashes <= MOST_CRASHES
        assert job.wish is Wish.RUN or job.worker_id is not None, "a wish is for a worker"
    assert attempts == sorted(attempts)


def test_an_older_attempt_is_refused() -> None:
    first = new().claimed("a", 0.0)
    second = first.released(1.0, crashed=True).claimed("b", 2.0)
    assert second.held_by("b", 2) is second
    for worker, attempt in (("a", 1), ("a", 2), ("b", 1)):
        with pytest.raises(Conflict, match="Stop: the job is not yours any more"):
            second.held_by(worker, attempt)


def test_three_crashes_park_it_with_its_last_lines() -> None:
    job = new().claimed("a", 0.0).planned(JobNeeds(1, 1.0, 1), 0.0)
    for at in range(MOST_CRASHES):
        assert job.state is JobState.QUEUED
        job = job.claimed("a", at).released(at, crashed=True, last_lines=("Killed",))
    assert job.state is JobState.FAILED
    assert job.failure is not None and job.failure.code == "crashed"
    assert job.failure.last_lines == ("Killed",)
    assert job.retry().state is JobState.QUEUED and job.retry().crashes == 0


def test_a_wish_waits_for_the_worker() -> None:
    job = new().claimed("a", 0.0).planned(JobNeeds(1, 1.0, 1), 0.0).claimed("a", 0.0)
    assert job.pause().released(1.0, crashed=False).state is JobState.PAUSED
    assert job.cancel(1.0).released(1.0, crashed=True).state is JobState.CANCELLED
    assert job.pause().resume().released(1.0, crashed=False).state is JobState.QUEUED
    with pytest.raises(Conflict, match="a job that is running"):
        job.retry()
