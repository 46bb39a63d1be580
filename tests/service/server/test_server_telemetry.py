"""What a running service tells of a job, from the request that made it to the worker's last word, in log and traces."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny_bundle
from otlp_receiver import Collector, collector
from service_worlds import World, world

from sixfold.service.use_cases import registry
from sixfold.service.use_cases.registry import NewVersion

pytestmark = pytest.mark.slow  # a job runs
START_S = 600.0  # a safety net, on a machine that is busy with other things
RECIPE = "version: 1\nname: iris\ndata: {source: 'sklearn:iris', target: target}\nbuild: {family: linear}\n"
GIVEN = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
BODY = "a-word-of-the-body"


@dataclass
class Watched:
    """A service in a process, whose log is in a file and whose traces go to a collector."""

    url: str
    key: str
    log: Path
    there: Collector

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.key}", **headers}
        return httpx.request(method, self.url + path, json=body, headers=sent, timeout=START_S)

    def lines(self, **fields: Any) -> list[dict[str, Any]]:
        """Those with these values."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [one for one in found if fields.items() <= one.items()]


def published(made: World, folder: Path) -> None:
    """A model to deploy."""
    bundle = tiny_bundle.make(folder)
    tree, size = made.service.artifacts.put_tree(bundle)
    signature = json.loads((bundle / "signature.json").read_bytes())
    with made.service.database.transaction() as rows:
        new = NewVersion(tree, size, {"signature": signature}, {})
        registry.publish(made.service, rows, made.operator.tenant_id, "tiny", new)


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    with world(folder / "home") as made:
        key = made.key
        published(made, folder / "bundle")
    log = folder / "log.jsonl"
    with collector() as there, log.open("w") as errors:
        arguments = ["up", "--home", str(folder / "home"), "--port", "0", "--log", "json"]
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sixfold", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": there.url},
        )
        assert process.stdout is not None
        guard = threading.Timer(START_S, process.kill)
        guard.start()
        found = re.search(r"http://[0-9.]+:\d+", process.stdout.readline())
        guard.cancel()
        try:
            assert found is not None
            yield Watched(found[0], key, log, there)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OTEL_BSP_SCHEDULE_DELAY": "200"}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "home").mkdir()
    with watched(folder) as made:
        yield made


def test_a_job_is_followed_from_its_request_to_its_worker(up: Watched) -> None:
    carried = {"X-Request-Id": "mine-7", "traceparent": GIVEN}
    answer = up.ask("POST", "/api/v1/jobs", {"recipe": RECIPE + f"# {BODY}\n"}, **carried)
    assert answer.status_code == 201 and answer.headers["x-request-id"] == "mine-7"
    job_id = answer.json()["id"]
    state = up.there.wait(
        lambda: (
            (one := up.ask("GET", f"/api/v1/jobs/{job_id}").json()["state"])
            in ("succeeded", "failed")
            and one
        )
    )
    assert state == "succeeded", up.log.read_text()
    (made,) = up.lines(event="request", request_id="mine-7")
    assert (made["status"], made["job_id"], made["path"]) == (201, job_id, "/api/v1/jobs")
    ended = {"event": "job.ended", "job_id": job_id}
    (ran,) = up.there.wait(lambda: up.lines(**ended, outcome="succeeded"))
    (planned,) = up.lines(**ended, outcome="planned")
    for line in (planned, ran, *up.lines(event="job.begun", job_id=job_id)):
        assert (line["request_id"], line["tenant"]) == ("mine-7", made["tenant"])
    stages = up.lines(event="job.stage", job_id=job_id)
    assert stages and all(
        one["duration_s"] >= 0 and one["request_id"] == "mine-7" for one in stages
    )

    there = up.there
    (accepted,) = there.wait(lambda: there.named("jobs.accept"))
    (request,) = there.wait(lambda: there.named("POST /api/v1/jobs"))
    place = request.trace, request.parent, request.process
    assert place == ("ab" * 16, "cd" * 8, "sixfold-server") and accepted.parent == request.id
    there.wait(
        lambda: "succeeded" in {one.attributes["sixfold.outcome"] for one in there.named("job run")}
    )
    runs, plans = there.named("job run"), there.named("job plan")
    for one in (*runs, *plans):
        place = one.trace, one.parent, one.process
        assert place == (request.trace, accepted.id, "sixfold-worker")
    spans = there.named("job stage")
    assert {one.parent for one in spans} <= {one.id for one in runs}
    assert {one.attributes["sixfold.stage"] for one in spans} == {one["stage"] for one in stages}
    (told,) = there.wait(lambda: there.named("workers.succeeded"))  # of the worker's own request
    assert told.trace == request.trace


def test_a_prediction_is_followed_to_its_replica(up: Watched) -> None:
    assert up.ask("PUT", "/api/v1/deployments/tiny", {"model": "tiny"}).status_code < 300
    up.there.wait(lambda: up.ask("GET", "/api/v1/deployments/tiny").json()["state"] == "ready")
    row = [tiny_bundle.raw(size=1.5)]
    carried = {"X-Request-Id": "mine-8", "traceparent": GIVEN.replace("ab", "ef")}
    answer = up.ask("POST", "/models/tiny/predict?word=secret-word", row, **carried)
    assert answer.status_code == 200, answer.text
    there = up.there
    (server,) = there.wait(
        lambda: [one for one in there.spans if one.parent == "cd" * 8 and one.trace == "ef" * 16]
    )
    (gateway,) = there.wait(lambda: there.named("predict"))
    (replica,) = there.wait(
        lambda: [
            one
            for one in there.spans
            if one.process == "sixfold-replica" and one.trace == "ef" * 16
        ]
    )
    assert (gateway.parent, replica.parent) == (server.id, gateway.id)
    assert server.attributes["sixfold.deployment"] == "tiny"
    assert replica.attributes["sixfold.request_id"] == "mine-8"
    (line,) = up.lines(event="request", request_id="mine-8")
    assert (line["deployment"], line["status"]) == ("tiny", 200) and line["duration_s"] > 0


def test_refusals_are_lines_and_no_line_holds_a_key_or_a_body(up: Watched) -> None:
    refused = up.ask("POST", "/api/v1/jobs", {"recipe": BODY})
    assert refused.status_code == 400
    foreign = httpx.get(up.url + "/api/v1/jobs", headers={"Authorization": "Bearer sf_nobody"})
    acting = httpx.get(
        up.url + "/models/%1b%5b31m%0aevent=fake", headers={"X-Request-Id": "a b\tc"}
    )
    assert foreign.status_code == acting.status_code == 401
    assert re.fullmatch(r"req-[0-9a-f]{24}", acting.headers["x-request-id"])
    up.there.wait(lambda: up.lines(request_id=acting.headers["x-request-id"]))
    (line,) = up.lines(request_id=foreign.headers["x-request-id"])
    assert (line["status"], line["level"]) == (401, "info") and "tenant" not in line
    text = up.log.read_text()
    for secret in (up.key, "sf_nobody", BODY, "secret-word", "\x1b"):
        assert secret not in text
    assert up.key not in repr(up.there.spans) and BODY not in repr(up.there.spans)
    assert not [one for one in up.lines(event="request") if one["path"].endswith("/claim")]
