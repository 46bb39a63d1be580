"""What a job is expected to take: what earlier ones of the same recipe and data took; the plan's word where there are none."""

from __future__ import annotations

import statistics
from typing import Final

from sixfold.service.domain.jobs import JobNeeds, JobState, TrainingJob
from sixfold.service.ports.database import Transaction
from sixfold.service.ports.pages import PageQuery

MOST: Final = 20  # jobs of its name that are looked at, the newest ones
MARGIN: Final = 1.2  # of the largest peak that was measured: guessed, other work beside it moves it by a few percent


def from_measured(rows: Transaction, job: TrainingJob) -> JobNeeds | None:
    """Of the tenant's jobs of the same name, recipe and inputs that one attempt did as a whole; None where there are none.
    Memory and disk: the most of them; time: the median.
    """
    where = {"name": job.name, "state": JobState.SUCCEEDED.value}
    page = rows.jobs.page(job.tenant_id, PageQuery(MOST, where=where))
    alike = [
        one.measured
        for one in page.rows
        if one.measured is not None
        and (one.spec.recipe, one.spec.inputs) == (job.spec.recipe, job.spec.inputs)
    ]
    if not alike:
        return None
    return JobNeeds(
        int(MARGIN * max(one.memory_bytes for one in alike)),
        statistics.median(one.time_s for one in alike),
        max(one.disk_bytes for one in alike),
        "measured",
    )


def shown(needs: JobNeeds) -> str:
    """For people."""
    return f"{needs.memory_bytes / 2**20:,.0f} MiB of memory, {needs.time_s:,.0f} s"


def compared(job: TrainingJob) -> str:
    """What it took beside what was expected; nothing where that was not measured."""
    if job.measured is None or job.needs is None:
        return ""
    return f" It took {shown(job.measured)}; expected were {shown(job.needs)} ({job.needs.how})."
