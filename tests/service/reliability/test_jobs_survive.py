"""Figure 1: whoever is killed, no job is lost or finished twice, and no finished stage is done again."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_service import LiveService, done_again, live_service, until
from postgres_server import PostgresServer

FINISHED = ("succeeded", "failed", "cancelled")
JOBS = 12  # SIXFOLD_STORM_JOBS=200 for the whole figure


@dataclass(frozen=True)
class Storm:
    """How many jobs, and how many kills of each kind."""

    jobs: int
    workers: int
    servers: int
    databases: int = 0


def disturb(
    service: LiveService, what: str, rng: random.Random, postgres: PostgresServer | None
) -> None:
    if what == "worker":
        rng.choice(until(service.local_workers)).kill()
    elif what == "server":
        service.kill()
        service.start()
    elif postgres is not None:
        postgres.stop(signal.SIGQUIT)  # at once, as a crash does
        postgres.start()


def done(service: LiveService) -> int:
    return sum("done third" in lines for lines in service.noted().values())


def weather(service: LiveService, storm: Storm, postgres: PostgresServer | None) -> list[str]:
    """The jobs' ids, once all are finished."""
    rng, ids = random.Random(16), list[str]()

    def submit_all() -> None:
        for _ in range(storm.jobs):
            ids.append(service.submit())

    submitting = threading.Thread(target=submit_all)
    submitting.start()
    kills = ["worker"] * storm.workers + ["server"] * storm.servers
    kills += ["database"] * storm.databases
    rng.shuffle(kills)
    for at, what in enumerate(kills):
        due = at * storm.jobs * 0.9 / len(kills)
        until(lambda due=due: done(service) >= due)
        time.sleep(rng.random() * 0.5)
        disturb(service, what, rng, postgres)
    submitting.join()
    client = service.client()
    until(lambda: all(job["state"] in FINISHED for job in client.jobs()))
    return ids


def check(service: LiveService, storm: Storm, ids: list[str]) -> None:
    client = service.client()
    for job in client.jobs(state="failed"):  # three kills of one job park it, until somebody asks
        assert job["failure"]["code"] == "crashed", job["failure"]
        client.change(job["id"], "retry")
        client.wait(job["id"])
    jobs = {job["id"]: job for job in client.jobs()}
    assert len(set(ids)) == storm.jobs
    assert sorted(jobs) == sorted(ids), "lost, or there twice"
    states = Counter(job["state"] for job in jobs.values())
    why = [job["failure"] for job in jobs.values() if job["failure"]]
    assert states == {"succeeded": storm.jobs}, why
    made = Counter(one["lineage"]["job_id"] for one in client.model("three")["versions"])
    assert made == Counter(ids), "a version each"
    again = done_again(service.noted())
    begun = sum(line.startswith("start") for lines in service.noted().values() for line in lines)
    print(
        f"{storm}: 0 lost, 0 twice, {len(again)} of {3 * storm.jobs} stages done again after they were "
        f"finished ({begun} begun)"
    )
    assert again == []
    for job in ids:
        told = [event["seq"] for event in client.events(job)]
        assert told == list(range(1, len(told) + 1))


def run_storm(
    folder: Path, bundle: Path, storm: Storm, postgres: PostgresServer | None = None
) -> None:
    database = None if postgres is None else postgres.create(f"storm_{folder.name}".lower())
    with live_service(folder, bundle, database=database) as service:
        started = time.monotonic()
        ids = weather(service, storm, postgres)
        print(f"{time.monotonic() - started:.0f} s")
        check(service, storm, ids)


@pytest.mark.slow
def test_some_jobs_survive_kills_on_sqlite(tmp_path: Path, bundle: Path) -> None:
    run_storm(tmp_path, bundle, Storm(6, 2, 1))


@pytest.mark.slow
def test_many_jobs_survive_kills_of_everything_on_postgresql(
    tmp_path: Path, bundle: Path, postgres: PostgresServer
) -> None:
    jobs = int(os.environ.get("SIXFOLD_STORM_JOBS", JOBS))
    rare = max(jobs // 20, 1)
    run_storm(tmp_path, bundle, Storm(jobs, jobs // 4, rare, rare), postgres)
