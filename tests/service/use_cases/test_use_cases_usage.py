"""What keys used, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from service_worlds import World, holding

from sixfold.service.domain.errors import QuotaExceeded
from sixfold.service.domain.people import Quota, Scope
from sixfold.service.domain.records import Prices, Usage
from sixfold.service.use_cases import jobs, people, usage, workers
from sixfold.service.use_cases.people import KeyRequest

DAY = 24


def job_s(here: World) -> float:
    return sum(one.job_s for one in usage.since(here.service, here.operator, DAY))


def test_the_time_of_jobs_is_that_of_their_attempts(here: World) -> None:
    """A job that is paused, waits, is planned or is retried a day later uses nothing meanwhile."""
    who, service, clock = here.operator, here.service, here.clock
    job = here.running()
    clock.at += 100
    jobs.pause(service, who, job.id)
    workers.released(service, who, holding(job), False, ())
    assert job_s(here) == 100
    clock.at += 3600
    jobs.resume(service, who, job.id)
    again = here.claim()
    assert again is not None and again.id == job.id
    clock.at += 10
    workers.released(service, who, holding(again), True, ("Killed",))
    assert job_s(here) == 110
    clock.at += 7
    third = here.claim()
    assert third is not None
    clock.at += 1
    here.finish(third)
    assert job_s(here) == 111
    here.submit()
    clock.at += 50
    here.plan()
    assert job_s(here) == 111, "a plan is no run"


def test_the_time_of_a_worker_that_says_goodbye_counts(here: World) -> None:
    job = here.running()
    here.clock.at += 5
    workers.goodbye(here.service, here.operator, str(job.worker_id))
    assert job_s(here) == 5


@pytest.mark.parametrize("prices", [None, Prices(2.0, 3.0, 5.0, 7.0, "EUR")])
def test_use_by_key(here: World, prices: Prices | None) -> None:
    service = replace(here.service, settings=replace(here.service.settings, prices=prices))
    who, hour = here.operator, int(here.clock.at) // 3600 * 3600
    row, _ = people.create_key(service, who, KeyRequest("team", frozenset({Scope.READ})))
    other = here.tenant("other")
    counts = [
        Usage(who.tenant_id, row.id, hour - 3600, 1000, 1, 2_000_000, 1_000_000, 1800.0),
        Usage(who.tenant_id, row.id, hour, 500, 2, 0, 0, 1800.0),
        Usage(who.tenant_id, "key-gone", hour, 1),
        Usage(other.tenant_id, "key-theirs", hour, 10_000),
    ]
    usage.add(service, counts)
    first, second = usage.by_key(service, who, DAY)
    assert (first.name, second.name) == ("team", None)
    assert first.used == Usage(
        who.tenant_id, row.id, hour - 3600, 1500, 3, 2_000_000, 1_000_000, 3600.0
    )
    assert first.cost == (None if prices is None else pytest.approx(3.0 + 6.0 + 5.0 + 7.0))
    assert second.cost == (None if prices is None else pytest.approx(0.002))
    (hour_alone,) = [one for one in usage.by_key(service, who, 1) if one.name]
    assert hour_alone.used.requests == 500


def test_versions_fill_the_storage_of_a_tenant(here: World) -> None:
    """What jobs make counts as what is uploaded: where nothing is left, no job is taken."""
    here.finish(here.running())  # a version of 10 bytes
    people.set_quota(here.service, here.operator, here.operator.tenant_id, Quota(storage_bytes=11))
    here.finish(here.running())
    with pytest.raises(QuotaExceeded, match="storage"):
        here.submit()
