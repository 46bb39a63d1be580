"""Runs of jobs that ended long ago go: the files of their finished stages, their events, and the data that they read. The job
stays, with its recipe and what became of it; so do the versions that it made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sixfold.service.domain.jobs import FINISHED, TrainingJob
from sixfold.service.ports.pages import PageQuery
from sixfold.service.use_cases import jobs
from sixfold.service.use_cases.service import Service

AT_ONCE: Final = 100  # rows of a page
EVENTS_AT_ONCE: Final = 5000  # in a transaction: other writers of SQLite wait for it


def forget_runs(service: Service) -> int:
    """Of all tenants, those that ended more than `keep_runs_s` ago: how many. Their bytes go with the next sweep."""
    keep_s = service.settings.keep_runs_s
    if keep_s is None:
        return 0
    before = service.now() - keep_s
    return sum(_forgotten(service, one, before) for one in _ended(service, before))


def _ended(service: Service, before: float) -> Iterator[TrainingJob]:
    """Jobs that were over by then, and whose runs are still there."""
    for tenant_id in _tenants(service):
        for state in sorted(FINISHED):
            after = None
            while True:
                query = PageQuery(AT_ONCE, after, newest_first=False, where={"state": str(state)})
                with service.database.reading() as rows:
                    page = rows.jobs.page(tenant_id, query)
                yield from (one for one in page.rows if _is_due(one, before))
                if not page.more or page.rows[-1].created_at > before:
                    break
                after = page.rows[-1].id


def _tenants(service: Service) -> Iterator[str]:
    after = None
    while True:
        with service.database.reading() as rows:
            page = rows.tenants.page(PageQuery(AT_ONCE, after))
        yield from (one.id for one in page.rows)
        if not page.more:
            return
        after = page.rows[-1].id


def _is_due(job: TrainingJob, before: float) -> bool:
    ended_at = job.finished_at
    return job.finished and job.forgotten_at is None and ended_at is not None and ended_at <= before


def _forgotten(service: Service, found: TrainingJob, before: float) -> bool:
    """Events a part at a time, the oldest first; the mark comes last, so that a kill on the way leaves it due."""
    with service.database.reading() as rows:
        last = rows.events.last_seq(found.id)
    for seq in range(EVENTS_AT_ONCE, last, EVENTS_AT_ONCE):
        with service.database.transaction() as rows:
            rows.events.remove(found.tenant_id, found.id, seq)
    with service.database.transaction() as rows:
        job = rows.jobs.get(found.tenant_id, found.id)
        if job is None or not _is_due(job, before):
            return False
        last = rows.events.last_seq(job.id)
        jobs.tell(service, rows, job, "The job's run, its events and its data were removed.")
        rows.events.remove(job.tenant_id, job.id, last)
        rows.jobs.save(replace(job, run_tree=None, forgotten_at=service.now()))
    return True
