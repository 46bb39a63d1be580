"""What a job is expected to take: by what earlier ones of the same recipe and data took."""

from __future__ import annotations

from typing import Any

import pytest
from service_worlds import NEEDS, RECIPE, World, holding

from sixfold.service.domain.jobs import JobNeeds, TrainingJob
from sixfold.service.use_cases import jobs, workers
from sixfold.service.use_cases.jobs import JobRequest
from sixfold.service.use_cases.registry import NewVersion

TOOK = (JobNeeds(5000, 2.0, 70, "measured"), JobNeeds(4000, 9.0, 90, "measured"))


def finish(here: World, job: TrainingJob, measured: JobNeeds | None) -> None:
    new = NewVersion("0" * 64, 10)
    workers.succeeded(here.service, here.operator, holding(job), new, {}, measured)


def test_the_most_memory_and_the_median_time_of_earlier_ones(here: World) -> None:
    for took in TOOK:
        finish(here, here.running(), took)
    here.submit()
    job = here.plan()
    assert job.needs == JobNeeds(6000, 5.5, 90, "measured")
    assert here.claim(free_bytes=5999) is None
    claimed = here.claim(free_bytes=6000)
    assert claimed is not None and claimed.id == job.id


@pytest.mark.parametrize(
    "change", [{"recipe": RECIPE + "# other\n"}, {"name": "other"}, {"inputs": {"a.csv": "1" * 64}}]
)
def test_another_recipe_or_data_is_planned(here: World, change: dict[str, Any]) -> None:
    finish(here, here.running(), TOOK[0])
    request = {"recipe": RECIPE, **change}
    jobs.submit(here.service, here.operator, JobRequest(**request))
    assert here.plan().needs == NEEDS


def test_another_tenants_job_tells_nothing(here: World) -> None:
    finish(here, here.running(), TOOK[0])
    here.submit(here.tenant("other"))
    assert here.plan().needs == NEEDS


def test_a_job_that_was_not_measured_tells_nothing(here: World) -> None:
    finish(here, here.running(), None)
    here.submit()
    assert here.plan().needs == NEEDS


def test_who_plans_is_told_what_is_known(here: World) -> None:
    """So that it tries nothing; and it is known of the claim alone: a job that is given back is validated again."""
    here.submit()
    first = here.claim(free_bytes=0)
    assert first is not None and first.needs is None
    workers.planned(here.service, here.operator, holding(first), NEEDS)
    running = here.claim()
    assert running is not None
    finish(here, running, TOOK[0])
    second = here.submit()
    claimed = here.claim(free_bytes=0)
    assert claimed is not None and claimed.needs is not None and claimed.needs.how == "measured"
    workers.released(here.service, here.operator, holding(claimed), False, [])
    kept = jobs.get(here.service, here.operator, second.id)
    assert (kept.state, kept.needs) == ("validating", None)
