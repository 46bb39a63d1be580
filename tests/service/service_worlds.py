"""A service in a folder, and the people and workers that its tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sixfold import __version__
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.jobs import JobNeeds, TrainingJob, WorkerMachine
from sixfold.service.domain.people import Principal, Quota, Scope
from sixfold.service.stores.opening import open_artifacts
from sixfold.service.stores.sql_database import open_database
from sixfold.service.use_cases import jobs, people, workers
from sixfold.service.use_cases.jobs import JobRequest
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.service import Service, ServiceSettings
from sixfold.service.use_cases.workers import Holding

RECIPE = "version: 1\nname: iris\ndata: {source: 'sklearn:iris'}\nbuild: {families: [{family: linear}]}\n"
NEEDS = JobNeeds(1000, 1.0, 10)


@dataclass
class TestClock:
    """Seconds since 1970 that a test sets."""

    __test__ = False
    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class World:
    """A service, its clock, an operator with every scope, and workers by name."""

    service: Service
    clock: TestClock
    operator: Principal
    key: str
    workers: dict[str, str] = field(default_factory=dict)

    def tenant(self, name: str, quota: Quota | None = None) -> Principal:
        """The first administrator of a new tenant."""
        _, key = people.create_tenant(self.service, self.operator, name, quota or Quota())
        return people.authenticate(self.service, key)

    def worker(self, name: str = "w", free_bytes: int = 1 << 30) -> str:
        """A worker that said hello: its id."""
        if name not in self.workers:
            self.workers[name] = new_id("worker")
            machine = WorkerMachine(
                self.workers[name], name, 2, free_bytes, free_bytes, 0.0, __version__
            )
            workers.hello(self.service, self.operator, machine)
        return self.workers[name]

    def submit(self, who: Principal | None = None, **facts: object) -> TrainingJob:
        request = JobRequest(RECIPE, **facts)  # type: ignore[arg-type]
        return jobs.submit(self.service, who or self.operator, request)

    def claim(self, name: str = "w", free_bytes: int = 1 << 30) -> TrainingJob | None:
        return workers.claim(self.service, self.operator, self.worker(name), free_bytes)

    def plan(self, needs: JobNeeds = NEEDS, name: str = "w") -> TrainingJob:
        """Claim the job that is due, which waits for validation, and plan it."""
        job = self.claim(name, 0)  # with room for nothing that is planned
        assert job is not None and job.state == "validating"
        return workers.planned(self.service, self.operator, holding(job), needs)

    def running(self, **facts: object) -> TrainingJob:
        """A job that worker `w` runs."""
        self.submit(**facts)
        self.plan()
        job = self.claim()
        assert job is not None and job.state == "running"
        return job

    def finish(self, job: TrainingJob) -> TrainingJob:
        new = NewVersion("0" * 64, 10)
        return workers.succeeded(self.service, self.operator, holding(job), new, {})


def holding(job: TrainingJob) -> Holding:
    assert job.worker_id is not None
    return Holding(job.id, job.worker_id, job.attempt)


@cache
def empty_database() -> bytes:
    """A file of the newest schema, which takes longer to make than most tests take."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sixfold.db"
        open_database(f"sqlite:///{file}").close()
        return file.read_bytes()


@contextmanager
def world(folder: Path, url: str | None = None, lease_s: float = 5.0) -> Iterator[World]:
    clock, file = TestClock(), folder / "sixfold.db"
    if url is None and not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(empty_database())
    database = open_database(url or f"sqlite:///{file}")
    try:
        store = open_artifacts(folder / "artifacts")
        service = Service(database, store, ServiceSettings(lease_s=lease_s), clock)
        key = people.first_start(service)
        assert key is not None
        operator = people.authenticate(service, key)
        assert operator.allows(Scope.OPERATE)
        yield World(service, clock, operator, key)
    finally:
        database.close()
