"""A service with something to see, and its console: asked directly, or by a browser over HTTP."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from service_worlds import World, holding, world
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from sixfold.bundle.page import START
from sixfold.service.api.app import create
from sixfold.service.domain.jobs import JobFailure, TrainingJob
from sixfold.service.graceful_server import GracefulServer
from sixfold.service.use_cases import workers
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.workers import RunLine

REPORT = f"{START}<title>wine</title></head><body><h1>The report</h1></body></html>"
SIGNATURE = {
    "task": "classification",
    "inputs": [{"name": "size", "type": "number"}],
    "outputs": [],
}


@dataclass
class Site:
    """A world, its application, and a browser's client that is signed in."""

    world: World
    app: ASGIApp
    client: TestClient
    jobs: dict[str, TrainingJob] = field(default_factory=dict)

    def stranger(self) -> TestClient:
        """A browser without a session."""
        return TestClient(_as_server(self.app), base_url="http://localhost", follow_redirects=False)

    def sign_in(self, key: str) -> TestClient:
        client = self.stranger()
        asked = client.post("/login", data={"key": key, "form_token": token_of(client, "/login")})
        assert (asked.status_code, asked.headers["location"]) == (303, "/console")
        return client

    def post(self, path: str, page: str = "/console", **fields: Any) -> Any:
        """A form of `page`, as a browser sends it."""
        token = token_of(self.client, page)
        return self.client.post(path, data={"form_token": token, **fields})


def token_of(client: TestClient, page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get(page).text)
    assert found is not None
    return found[1]


def _as_server(app: ASGIApp) -> ASGIApp:
    """With the server's address as a server gives it."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("server"):
            scope = {**scope, "server": tuple(scope["server"])}
        await app(scope, receive, send)

    return asked


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    with world(folder) as made:
        app = create(made.service, folder)
        found = Site(made, app, None)  # type: ignore[arg-type]
        found.client = found.sign_in(made.key)
        yield found


def report_events(made: World, job: TrainingJob, epochs: int = 12, folds: int = 3) -> None:
    """What a run tells: stages, losses, scores, and a warning with markup in it."""
    lines: list[tuple[str, str, str, dict[str, Any]]] = [
        ("stage_started", "info", "stage started: data", {"stage": "data"}),
        ("stage_finished", "info", "stage finished: data", {"stage": "data"}),
        ("stage_started", "info", "stage started: evaluate", {"stage": "evaluate"}),
        ("warning", "warn", "column <b id=evil>flavor</b> has one value", {}),
    ]
    for fold in range(folds):
        for epoch in range(1, epochs + 1):
            loss = 1.2 / (epoch + fold * 0.3) ** 0.8
            facts = {
                "epoch": epoch,
                "epochs": epochs,
                "losses": [loss],
                "validations": [loss * 1.1 + 0.03],
            }
            facts |= {"candidate": "mlp", "fold": fold}
            lines.append(("epoch", "info", f"epoch: {epoch} of {epochs}, loss {loss:.3f}", facts))
        for name, score in (("mlp", 0.94 + fold / 100), ("linear", 0.95 - fold / 100)):
            facts = {"fold": fold, "folds": folds, "scores": {"accuracy": score}, "candidate": name}
            lines.append(("fold_scored", "info", f"fold {fold + 1}: accuracy {score:.3f}", facts))
    told = [RunLine(at + 1, made.clock.at + at, *line) for at, line in enumerate(lines)]
    workers.report(made.service, made.operator, holding(job), told)


def published(made: World, folder: Path, job: TrainingJob, score: float = 0.95) -> None:
    """The job ends with a version that has a report and a receipt."""
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(REPORT)
    tree, size = made.service.artifacts.put_tree(folder)
    receipt = {
        "candidate": "mlp",
        "quality": [
            {"metric": "accuracy", "folds_after": [score, score + 0.02], "holdout_after": score}
        ],
        "after": {"file_bytes": 21_480, "p50_1_ms": 0.021, "p99_1_ms": 0.034, "parameters": 1203},
    }
    new = NewVersion(tree, size, {"signature": SIGNATURE}, receipt)
    result = {"verdict": ["Accuracy 0.95 on rows that nothing was fitted on."]}
    workers.succeeded(made.service, made.operator, holding(job), new, result)


def filled(found: Site, folder: Path) -> None:
    """Two versions of a model, a failed job, one that runs and one that waits."""
    made = found.world
    for at, name in enumerate(("first", "second")):
        job = found.jobs[name] = made.running()
        report_events(made, job)
        made.clock.at += 130
        published(made, folder / name, job, 0.93 + at / 50)
    job = made.running()
    failure = JobFailure("refused", "recipe.yaml, line 3: no column 'fate'", None, ("one", "two"))
    found.jobs["failed"] = workers.failed(made.service, made.operator, holding(job), failure)
    found.jobs["running"] = made.running()
    report_events(made, found.jobs["running"])
    found.jobs["waiting"] = made.submit()


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Over HTTP, on a port of its own: the address."""
    config = uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1)
    listening = config.bind_socket()
    server = GracefulServer(config, threading.Event())
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    assert server.wait_until_it_listens()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
