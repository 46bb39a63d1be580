"""Every page of the console over HTTP, in a service with 10,000 jobs and a million events: a server process of `sixfold up` on
SQLite, filled through the stores, and a browser's requests without a browser. The first answer of each page is not counted.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from sklearn.datasets import load_breast_cancer

import sixfold
from bench.child import Refused
from bench.gateway import _up, new_home
from bench.pairs import Result
from sixfold.service.domain.deployments import Scaling
from sixfold.service.domain.ids import new_id
from sixfold.service.domain.jobs import JobEvent, JobNeeds, JobSpec, JobState, TrainingJob
from sixfold.service.domain.people import Principal, Scope
from sixfold.service.domain.registry import Lineage
from sixfold.service.ports.database import Transaction
from sixfold.service.use_cases import audit, deployments, people, registry
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.people import KeyRequest
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.service import Service

ROUNDS = 20  # answers of every page
ALLOWED_S = 0.3
BEGAN_S = 1_790_000_000.0
AT_ONCE = 5_000  # rows in a transaction
WAIT_S = 120.0
RECIPE = "version: 1\nname: wine\ndata: {source: wine.csv, target: kind}\nbuild: {families: [{family: mlp}]}\n"
STATES = (
    *(JobState.SUCCEEDED,) * 6,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.QUEUED,
    JobState.PAUSED,
)


@dataclass(frozen=True)
class Amounts:
    """Of everything that is in the service. `of_one`: events of the job that has most; `versions`: of one model."""

    jobs: int
    events: int
    of_one: int
    models: int
    versions: int
    deployments: int
    keys: int
    asked: int  # requests to the deployment that answers


@dataclass(frozen=True)
class FilledHome:
    """Its first key, the job with most events, one job in the middle."""

    key: str
    longest: str
    middle: str


def measure(
    rounds: int = ROUNDS, jobs: int = 10_000, events: int = 1_000_000, many: int = 300
) -> Iterator[Result]:
    """p95 of every page; `many`: models, versions of one model, keys; a tenth of them deployments."""
    amounts = Amounts(jobs, events, events // 2, many, many, max(1, many // 10), many, many)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        started = time.monotonic()
        filled = _filled(home, amounts, Path(folder))
        took_s = time.monotonic() - started
        process, port = _up(home)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, signal.SIGTERM)
        browser = SignedIn(port, filled.key)
        stack.callback(browser.connection.close)
        _used(browser, amounts)
        first = True
        for name, path in _pages(browser, filled):
            seen = [browser.timed_s(path) for _ in range(rounds + 1)][1:]
            seen.sort()
            told = f"p50 {1e3 * statistics.median(seen):.1f} ms of {rounds} answers"
            if first:
                size = sum(one.stat().st_size for one in home.glob("sixfold.db*"))
                told += f"; {jobs:,} jobs, {events:,} events, {size / 1e6:.0f} MB, filled in {took_s:.0f} s"
                first = False
            p95 = seen[min(len(seen) - 1, int(0.95 * len(seen)))]
            yield Result(
                f"console, {name}: p95",
                "the 300 ms that are allowed",
                p95,
                ALLOWED_S,
                quality=told,
                target=1,
                rounds=rounds,
            )


class SignedIn:
    """A kept-alive connection with the console's session."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        self.cookies: dict[str, str] = {}
        self.key = key
        token = self.token("/login")
        status, _ = self.ask("POST", "/login", {"key": key, "form_token": token})
        if status != 303:
            raise Refused(f"the key is refused: {status}")

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and text."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                cookie, _, _ = value.partition(";")
                self.cookies[cookie.partition("=")[0]] = cookie.partition("=")[2]
        return answer.status, answer.read().decode()

    def token(self, path: str) -> str:
        """Of the form on a page."""
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.ask("GET", path)[1])
        if found is None:
            raise Refused(f"no form on {path}")
        return found[1]

    def call(self, method: str, path: str, body: object = None) -> object:
        """The API, with the key."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        self.connection.request(method, path, sent, headers)
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {content}")
        return content

    def timed_s(self, path: str) -> float:
        """Seconds of one answer, which has to be good."""
        started = time.perf_counter()
        status, _ = self.ask("GET", path)
        took = time.perf_counter() - started
        if status != 200:
            raise Refused(f"{path}: {status}")
        return took


def _pages(browser: SignedIn, filled: FilledHome) -> list[tuple[str, str]]:
    """Name and address; parts that are read behind a page, too."""
    longest, middle = (f"/console/jobs/{one}" for one in (filled.longest, filled.middle))
    six = urlencode([("version", str(number)) for number in range(1, 7)])
    return [
        ("overview", "/console"),
        ("jobs", "/console/jobs"),
        ("jobs, a page in the middle", f"/console/jobs?after={filled.middle}"),
        ("jobs that failed", "/console/jobs?state=failed"),
        ("new job", "/console/jobs/new"),
        ("job with half of all events", longest),
        ("its state", f"{longest}/state"),
        ("its earlier lines", f"{longest}/log?before=5000"),
        ("job", middle),
        ("models", "/console/models"),
        ("model", "/console/models/wine"),
        ("model, older versions", "/console/models/wine?before=100"),
        ("version", "/console/models/cancer/1"),
        ("six versions compared", f"/console/models/wine/compare?{six}"),
        ("deployments", "/console/deployments"),
        ("deployment", "/console/deployments/cancer"),
        ("its state", "/console/deployments/cancer/state"),
        ("its drift", "/console/deployments/cancer/drift"),
        ("keys and quotas", "/console/keys"),
        ("people", "/console/people"),
        ("system", "/console/system"),
        ("API", "/docs"),
    ]


def _used(browser: SignedIn, amounts: Amounts) -> None:
    """The deployment that answers is up, and was asked."""
    row = load_breast_cancer(as_frame=True).frame.iloc[0].drop("target").to_dict()
    for _ in range(amounts.asked):
        browser.call("POST", "/models/cancer/predict", {"rows": [row]})
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = browser.call("GET", "/api/v1/deployments/cancer/drift")
        if isinstance(found, dict) and found["columns"]:
            return
        time.sleep(0.2)
    raise Refused("no drift is told")


def _filled(home: Path, amounts: Amounts, aside: Path) -> FilledHome:
    """Through the stores, as the service itself writes."""
    with new_home(home) as (service, who, key):
        ids = _jobs(service, who, amounts.jobs)
        _events(service, who, ids, amounts)
        for number in range(amounts.keys):
            scopes = frozenset({Scope.READ, Scope.PREDICT})
            people.create_key(service, who, KeyRequest(f"key {number}", scopes))
        with service.database.transaction() as rows:
            _registry(service, rows, who, ids[0], amounts)
        _answering(service, who, aside)
        return FilledHome(key, ids[-1], ids[len(ids) // 2])


def _jobs(service: Service, who: Principal, count: int) -> list[str]:
    """Their ids, oldest first."""
    ids = []
    for start in range(0, count, AT_ONCE):
        with service.database.transaction() as rows:
            for number in range(start, min(count, start + AT_ONCE)):
                at = BEGAN_S + number
                job = TrainingJob(
                    new_id("job"),
                    who.tenant_id,
                    f"wine-{number}",
                    JobSpec(RECIPE, {"wine.csv": "0" * 64}, publish="wine"),
                    at,
                    who.key_id,
                    state=STATES[number % len(STATES)],
                    needs=JobNeeds(1 << 28, 60.0, 1 << 20),
                    started_at=at + 1,
                    finished_at=at + 50,
                )
                rows.jobs.add(job)
                audit.record(service, rows, who, "job.submit", job.id, name=job.name)
                ids.append(job.id)
    return sorted(ids)


def _events(service: Service, who: Principal, ids: list[str], amounts: Amounts) -> None:
    """Metric points: losses of epochs; half of all of them of the newest job, the others alike."""
    counts = dict.fromkeys(ids, (amounts.events - amounts.of_one) // len(ids))
    counts[ids[-1]] = amounts.of_one
    waiting: list[JobEvent] = []
    for job_id, count in counts.items():
        for seq in range(1, count + 1):
            waiting.append(_event(job_id, seq))
            if len(waiting) == AT_ONCE:
                _store(service, who, waiting)
                waiting = []
    _store(service, who, waiting)


def _event(job_id: str, seq: int) -> JobEvent:
    if seq % 1000 == 1:
        data = {"stage": f"evaluate-{seq // 1000}"}
        return JobEvent(job_id, seq, BEGAN_S + seq, "stage_started", "info", "stage started", data)
    loss = 1 / (1 + seq % 1000)
    facts = {"candidate": "mlp", "fold": seq % 5, "epoch": seq % 1000, "losses": [loss]}
    text = f"epoch: {seq % 1000} of 1000, loss {loss:.3f}"
    return JobEvent(job_id, seq, BEGAN_S + seq, "epoch", "info", text, facts)


def _store(service: Service, who: Principal, events: list[JobEvent]) -> None:
    """Of several jobs in one transaction."""
    if events:
        with service.database.transaction() as rows:
            rows.events.add(who.tenant_id, events)


def _registry(
    service: Service, rows: Transaction, who: Principal, job_id: str, amounts: Amounts
) -> None:
    """Models of one version, one of many, and deployments that sleep."""
    cost = {"file_bytes": 21_480, "p50_1_ms": 0.021, "p99_1_ms": 0.034, "parameters": 1203}
    lineage = Lineage(job_id, RECIPE, {"wine.csv": "0" * 64})
    for number in range(max(6, amounts.versions)):
        quality = {"metric": "accuracy", "greater_is_better": True, "holdout_after": 0.9}
        quality["folds_after"] = [0.8 + number / 10_000] * 5  # type: ignore[assignment]
        receipt = {"candidate": "mlp", "metric": "accuracy", "quality": [quality], "after": cost}
        new = NewVersion("0" * 64, 30_000, {}, receipt, replace(lineage))
        registry.publish(service, rows, who.tenant_id, "wine", new)
    for number in range(amounts.models):
        registry.publish(service, rows, who.tenant_id, f"wine-{number}", NewVersion("0" * 64, 9))
    sleeping = DeploymentRequest(VersionName("wine", "1"), Scaling(0, 1, 60.0))
    for number in range(amounts.deployments):
        deployments.deploy(service, rows, who, f"wine-{number}", sleeping)


def _answering(service: Service, who: Principal, aside: Path) -> None:
    """A model that was trained, deployed."""
    made = sixfold.fit(
        load_breast_cancer(as_frame=True).frame,
        target="target",
        out=aside / "run",
        evaluate={"folds": 2},
        name="cancer",
        build={"family": "linear"},
    )
    tree, size = service.artifacts.put_tree(made.bundle)
    signature = json.loads((made.bundle / "signature.json").read_bytes())
    receipt = json.loads((made.bundle / "receipt.json").read_bytes())
    with service.database.transaction() as rows:
        new = NewVersion(tree, size, {"signature": signature}, receipt)
        registry.publish(service, rows, who.tenant_id, "cancer", new)
        deployments.deploy(service, rows, who, "cancer", DeploymentRequest(VersionName("cancer")))
