"""A service with something to see, and its console: asked directly, or by a browser over HTTP."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny_bundle
import uvicorn
from fastapi.routing import APIRoute
from service_worlds import World, holding, world
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from sixfold.bundle.page import START
from sixfold.service.api.app import create
from sixfold.service.console import console
from sixfold.service.domain.deployments import Canary, Scaling
from sixfold.service.domain.jobs import JobFailure, TrainingJob
from sixfold.service.domain.people import ROLES, Scope
from sixfold.service.domain.sign_on import AccountIdentity
from sixfold.service.gateway.front_door import FrontDoor
from sixfold.service.gateway.gateway import DeploymentRoute
from sixfold.service.gateway.traffic import VersionTraffic
from sixfold.service.graceful_server import GracefulServer
from sixfold.service.use_cases import deployments, registry, users, workers
from sixfold.service.use_cases.deployments import DeploymentRequest, VersionName
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.users import UserRequest
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
    app: FrontDoor
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

    async def asked(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope.get("server"):
            scope = {**scope, "server": tuple(scope["server"])}
        await app(scope, receive, send)

    return asked


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    with world(folder) as made:
        app = create(made.service, folder.resolve())
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
        "metric": "accuracy",
        "verdict": "compressed",
        "rows_trained": 120,
        "rows_holdout": 30,
        "duration_s": 61.5,
        "quality": [
            {
                "metric": "accuracy",
                "greater_is_better": True,
                "folds_after": [score, score + 0.02],
                "holdout_after": score,
                "baseline": 0.34,
            }
        ],
        "after": {
            "file_bytes": 21_480,
            "p50_1_ms": 0.02 * score,
            "p99_1_ms": 0.034,
            "parameters": 1203,
        },
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
    for name, role in (("Ada", "administrator"), ("Berta", "viewer"), ("Clara", "developer")):
        identity = AccountIdentity("https://idp.example/realms/staff", f"7f0c-{name}", name)
        user = users.add(made.service, made.operator, UserRequest(identity, ROLES[role]))
    users.disable(made.service, made.operator, user.id)
    users.set_scopes(made.service, made.operator, user.id, {Scope.READ, Scope.PREDICT})


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


PARTS = {  # routes that are no whole page: parts of one, files, and what leads to another page
    "/",
    "/login/oidc",
    "/login/oidc/callback",
    "/console/static/{digest}/{name}",
    "/console/jobs/{job_id}/state",
    "/console/jobs/{job_id}/log",
    "/console/models/{name}/{number}/report",
    "/console/deployments/{name}/state",
    "/console/deployments/{name}/drift",
}


def addresses(made: Site) -> list[str]:
    """Of every page there is, by the routes: one that is not known here fails the tests that look at all pages."""
    known = {
        "/login": ["/login"],
        "/docs": ["/docs"],
        "/console": ["/console"],
        "/console/jobs": ["/console/jobs", "/console/jobs?state=failed"],
        "/console/jobs/new": ["/console/jobs/new"],
        "/console/jobs/{job_id}": [f"/console/jobs/{job.id}" for job in made.jobs.values()],
        "/console/models": ["/console/models"],
        "/console/models/{name}": ["/console/models/iris", "/console/models/tiny"],
        "/console/models/{name}/compare": ["/console/models/iris/compare?version=1&version=2"],
        "/console/models/{name}/{number}": ["/console/models/iris/2", "/console/models/tiny/1"],
        "/console/deployments": ["/console/deployments"],
        "/console/deployments/{name}": ["/console/deployments/tiny"],
        "/console/keys": ["/console/keys"],
        "/console/people": ["/console/people"],
        "/console/system": ["/console/system"],
        "/console/audit": ["/console/audit"],
        "/console/{path:path}": ["/console/nothing"],
    }
    return [path for route in page_routes() for path in known[route]]


def page_routes() -> list[str]:
    """Of the console, but for PARTS."""
    found = {one.path for one in _walk(console.router.routes) if "GET" in (one.methods or ())}
    assert found >= PARTS
    return sorted(found - PARTS)


def _walk(routes: list[Any]) -> Iterator[APIRoute]:
    """With those of included routers, however they are kept."""
    for one in routes:
        if isinstance(one, APIRoute):
            yield one
        elif hasattr(one, "original_router"):
            yield from _walk(one.original_router.routes)


def published_bundle(made: World, folder: Path, name: str) -> int:
    """A version of the model `name`: its number."""
    tree, size = made.service.artifacts.put_tree(folder)
    signature = json.loads((folder / "signature.json").read_bytes())
    receipt = json.loads((folder / "receipt.json").read_bytes())
    with made.service.database.transaction() as rows:
        new = NewVersion(tree, size, {"signature": signature}, receipt)
        return registry.publish(made.service, rows, made.operator.tenant_id, name, new).number


def deployed(made: World, name: str, asked: DeploymentRequest) -> None:
    with made.service.database.transaction() as rows:
        deployments.deploy(made.service, rows, made.operator, name, asked)


def with_traffic(found: Site, folder: Path) -> None:
    """A deployment `tiny` that sleeps: a first version, a canary and a shadow, an hour of requests, and rows that drifted. Its
    server must be up.
    """
    made = found.world
    bundle = tiny_bundle.make(folder)
    first, second, third = (str(published_bundle(made, bundle, "tiny")) for _ in range(3))
    sleeping = Scaling(0, 1, 60.0)
    deployed(made, "tiny", DeploymentRequest(VersionName("tiny", first), sleeping))
    canary = VersionName("tiny", third), Canary("", 0.1)
    asked = DeploymentRequest(
        VersionName("tiny", second), sleeping, canary, VersionName("tiny", first)
    )
    deployed(made, "tiny", asked)
    route = opened_route(found, "tiny", 3)
    ids = dict(zip(("first", "canary", "shadow"), _ids(route), strict=True))
    now = time.time()
    for at in range(59 * 20):
        for role, seconds in (("first", 0.012), ("canary", 0.019), ("shadow", 0.011)):
            status = 503 if role == "canary" and at % 97 == 0 else 200
            wave = 1 + 0.3 * ((at * 7) % 13) / 13
            version = route.traffic.setdefault(ids[role], VersionTraffic())
            version.count(status, seconds * wave, now - 3600 + 3 * at)
    for at in range(150):
        row = tiny_bundle.raw(size=100 + at, colour="purple" if at % 2 else "red")
        answer = {"label": "keep", "probability": {"keep": 0.9, "<toss>": 0.1}}
        body = json.dumps({"rows": [row]}).encode()
        route.drift.sample(body, json.dumps({"predictions": [answer]}).encode())
        other = {**answer, "label": "<toss>" if at % 10 == 0 else "keep"}
        route.shadow.sample(
            json.dumps({"predictions": [answer]}).encode(),
            json.dumps({"predictions": [other]}).encode(),
        )
        if at % 50 == 49:
            route.drift.read()
            route.shadow.read()
    for _ in range(12):
        found.app.gateway.drift(route)
        made.clock.at += 61


def _ids(route: DeploymentRoute) -> tuple[str, ...]:
    row = route.deployment
    assert row.canary is not None and row.shadow is not None
    return row.version_id, row.canary.version_id, row.shadow


def opened_route(found: Site, name: str, versions: int = 1) -> DeploymentRoute:
    """Once the gateway has it, with so many versions."""
    key, end = (found.world.operator.tenant_id, name), time.monotonic() + 60
    while time.monotonic() < end:
        route = found.app.gateway.routes.get(key)
        if route is not None and len(route.pools) == versions:
            return route
        time.sleep(0.05)
    raise AssertionError(f"the gateway does not open {name}")
