"""Requests through the gateway, by real replicas."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
from gateway_worlds import BODY, ROW, GatewayWorld, gateway_world, until

from sixfold.bundle.load import load
from sixfold.serve.errors import to_json
from sixfold.service.domain.people import Quota, Scope
from sixfold.service.gateway import replica
from sixfold.service.use_cases import people
from sixfold.telemetry import logs

REQUESTS = 3_000  # while versions are deployed; SIXFOLD_REQUESTS=10000 for the whole figure
# Replicas of bundles named `broken`, `slow` and `slower` answer as these names say, every time.
WORSE = """
import sys, time
from sixfold.__main__ import main
from sixfold.serve.inference import Inference
answer = Inference._answer
def worse(self, question):
    made_as = self.server.bundle.receipt.name  # it is served under the deployment's
    if made_as == "broken":
        raise RuntimeError("broken")
    time.sleep({"slow": 0.05, "slower": 1.0}.get(made_as, 0.0))
    return answer(self, question)
Inference._answer = worse
main()
"""


def named(name: str) -> dict[str, Any]:
    receipt = tiny_bundle.RECEIPT.model_copy(update={"name": name})
    parts = tiny_bundle.parts()
    receipt = parts.receipt.model_copy(update={"name": name})
    return {
        "recipe": tiny_bundle.RECIPE.replace("name: tiny", f"name: {name}"),
        "receipt": receipt,
        "report_json": tiny_bundle.report(receipt).model_dump_json(),
    }


def test_answers_as_the_replica_does_and_is_deleted(gate: GatewayWorld) -> None:
    gate.up()
    bundle = load(gate.folder / "bundle-0")
    expected = to_json({"predictions": bundle.predict([ROW]).records()}).encode()
    status, headers, body = gate.ask("POST", "/models/tiny/predict", BODY)
    assert (status, body) == (200, expected)
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"].startswith("req-")

    status, headers, body = gate.ask("HEAD", "/models/tiny/signature")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 100
    assert gate.ask("GET", "/models/tiny/livez")[0] == 200
    assert gate.ask("GET", "/models/t%69ny/livez")[0] == 200
    assert gate.ask("DELETE", "/models/tiny/predict")[0] == 405
    assert gate.ask("TRACE", "/models/tiny/predict")[0] == 400
    assert gate.predict(body=b"{")[0] == 400

    injected = "/models/tiny/predict%20HTTP/1.1%0d%0aX-Evil:%201%0d%0a%0d%0aGET%20/livez"
    assert gate.ask("GET", injected)[0] == 404

    def blocks() -> Any:
        yield BODY[:5]
        yield BODY[5:]

    assert gate.ask("POST", "/models/tiny/predict", blocks())[::2] == (200, expected)  # type: ignore[arg-type]

    assert gate.predict("nothing")[0] == 404
    gate.json("DELETE", "/api/v1/deployments/tiny")
    until(lambda: gate.predict()[0] == 404)
    until(lambda: not gate.front.gateway._open_pools)


def test_a_key_needs_its_scope_and_its_tenant(gate: GatewayWorld) -> None:
    gate.up()
    assert gate.ask("POST", "/models/tiny/predict", BODY, None)[0] == 401
    reading, _ = gate.predict_key(Scope.READ)
    assert gate.predict(key=reading)[0] == 403
    _, foreign = people.create_tenant(gate.world.service, gate.world.operator, "other", Quota())
    assert gate.predict(key=foreign)[0] == 404
    key, key_id = gate.predict_key()
    assert gate.predict(key=key)[0] == 200
    assert gate.ask("GET", "/api/v1/deployments/tiny", key=key)[0] == 403
    people.revoke_key(gate.world.service, gate.world.operator, key_id)
    assert gate.predict(key=key)[0] == 401  # at once


def test_quotas_and_use(gate: GatewayWorld) -> None:
    gate.up()
    service, operator = gate.world.service, gate.world.operator
    key, key_id = gate.predict_key()
    people.set_quota(service, operator, operator.tenant_id, Quota(requests_per_minute=5))
    gate.front.limits._quotas.forget()
    statuses = []
    while 429 not in statuses and len(statuses) < 100:
        status, headers, body = gate.ask("POST", "/models/tiny/predict", BODY, key)
        statuses.append(status)
        if status == 429:
            assert 1 <= int(headers["retry-after"]) <= 12
            assert json.loads(body)["code"] == "quota_exceeded"
    assert statuses[:5] == [200] * 5 and 429 in statuses
    answered = sum(status == 200 for status in statuses)

    def used() -> list[tuple[str, int, int]]:
        rows = gate.json("GET", "/api/v1/usage")["data"]
        return [(row["key_id"], row["requests"], row["errors"]) for row in rows]

    until(lambda: used() == [(key_id, answered, 0)])
    status, _, text = gate.ask("GET", "/metrics")
    place = f'deployment="tiny",status="200",tenant="{operator.tenant_id}"'
    assert status == 200 and f"sixfold_gateway_requests_total{{{place}" in text.decode()
    assert 'sixfold_gateway_refused_total{code="quota_exceeded"}' in text.decode()
    assert gate.ask("GET", "/metrics", key=key)[0] == 403
    assert gate.ask("GET", "/metrics", key=None)[0] == 401


def test_a_damaged_bundle_is_told(gate: GatewayWorld) -> None:
    version = gate.publish()
    digest = gate.world.service.artifacts.tree(version.tree).files["model.onnx"]
    (place,) = (path for path in gate.folder.rglob(f"*{digest[-20:]}") if path.is_file())
    place.chmod(0o600)
    place.write_bytes(b"x" + place.read_bytes()[1:])
    gate.deploy()
    told = until(lambda: (one := gate.state())["state"] == "failed" and one)
    assert "the bundle" in told["reason"], told
    assert gate.predict()[0] == 503


@pytest.mark.slow
def test_sleeps_and_wakes(gate: GatewayWorld) -> None:
    gate.publish(served_as="ft:tiny:org:x:1")
    gate.deploy(scaling={"least": 0, "most": 1, "sleep_after_s": 1})
    until(lambda: gate.state()["state"] == "asleep")
    (pool,) = gate.front.gateway.routes[gate.world.operator.tenant_id, "tiny"].pools.values()
    for _ in range(2):
        assert pool.asleep
        assert gate.predict()[0] == 200
        until(lambda: pool.asleep)
    assert gate.predict("ft:tiny:org:x:1")[0] == 200  # by the version's own name


@pytest.mark.slow
def test_a_replica_that_dies_is_replaced_and_its_requests_are_answered(gate: GatewayWorld) -> None:
    gate.up()
    (pool,) = gate.front.gateway.routes[gate.world.operator.tenant_id, "tiny"].pools.values()
    (first,) = pool.replicas
    os.kill(first.process.pid, signal.SIGKILL)
    assert gate.predict()[0] == 200
    assert first not in pool.replicas


def _answers_by(routes: Any, key: tuple[str, str], version_id: str) -> bool:
    return version_id in routes[key].pools


def swapped_under_load(gate: GatewayWorld, least: int, clients: int = 4) -> list[int]:
    """Statuses of requests of several clients, while version after version is deployed."""
    gate.up()
    statuses: list[int] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            statuses.append(gate.predict()[0])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            before = len(statuses)
            version = gate.publish()
            gate.deploy()
            routes, key = gate.front.gateway.routes, (gate.world.operator.tenant_id, "tiny")
            until(partial(_answers_by, routes, key, version.id))
            until(lambda b=before: len(statuses) > b + 20)  # type: ignore[misc]
        until(lambda: len(gate.front.gateway._open_pools) == 1)  # the old ones have ended
        until(lambda: len(statuses) >= least)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return statuses


@pytest.mark.slow
def test_new_versions_fail_no_request(gate: GatewayWorld) -> None:
    statuses = swapped_under_load(gate, least=500)
    assert set(statuses) == {200}


@pytest.mark.slow
def test_new_versions_fail_none_of_many_requests(gate: GatewayWorld) -> None:
    least = int(os.environ.get("SIXFOLD_REQUESTS", REQUESTS))
    statuses = swapped_under_load(gate, least)
    print(f"\n{len(statuses):,} requests, errors: {sum(status != 200 for status in statuses)}")
    assert len(statuses) >= least and set(statuses) == {200}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why"), [("broken", "are errors"), ("slower", "take up to")])
def test_a_worse_canary_is_rolled_back(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "PROGRAM", (replica.PROGRAM[0], "-c", WORSE))
    with gateway_world(tmp_path) as gate:
        gate.up()
        gate.publish(**named(name))
        rules = {"share": 0.5, "least_requests": 10, "most_slower": 2.0}
        gate.deploy(version="1", canary={"model": "tiny", "version": "2", **rules})
        key = gate.world.operator.tenant_id, "tiny"
        until(lambda: len(gate.front.gateway.routes[key].pools) == 2)
        statuses = []
        for _ in range(2000):
            statuses.append(gate.predict()[0])
            if len(statuses) % 10 == 0 and gate.state()["canary"] is None:
                break
        assert why in gate.state()["reason"]
        assert set(statuses) <= {200, 500} and (500 in statuses) == (name == "broken")
        until(lambda: len(gate.front.gateway.routes[key].pools) == 1)
        assert {gate.predict()[0] for _ in range(20)} == {200}


@pytest.mark.slow
def test_a_shadow_is_asked_and_not_heard(gate: GatewayWorld) -> None:
    gate.publish()
    shadow = gate.publish(**named("tiny"))
    gate.deploy(version="1", shadow={"model": "tiny", "version": "2"})
    until(lambda: gate.state()["state"] == "ready")
    assert gate.predict()[0] == 200
    route = gate.front.gateway.routes[gate.world.operator.tenant_id, "tiny"]
    until(lambda: shadow.id in route.traffic and route.traffic[shadow.id].requests == 1)


@pytest.mark.slow
def test_more_replicas_where_requests_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "PROGRAM", (replica.PROGRAM[0], "-c", WORSE))
    with gateway_world(tmp_path) as gate:
        gate.publish(**named("slow"))
        gate.deploy(scaling={"least": 1, "most": 2, "target_queue": 1})
        until(lambda: gate.state()["state"] == "ready")
        (pool,) = gate.front.gateway.routes[gate.world.operator.tenant_id, "tiny"].pools.values()
        done = threading.Event()

        def client() -> None:
            while not done.is_set():
                assert gate.predict()[0] == 200

        threads = [threading.Thread(target=client) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(pool.replicas) == 2)
        finally:
            done.set()
            for thread in threads:
                thread.join()


def test_rows_asked_at_the_same_time_get_the_bytes_that_each_gets_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "PROGRAM", (replica.PROGRAM[0], "-c", WORSE))
    with gateway_world(tmp_path) as gate:
        gate.publish(**named("slow"))
        gate.deploy(scaling={"most_together": 16})
        until(lambda: gate.state()["state"] == "ready")
        bundle = load(gate.folder / "bundle-0")
        rows = [tiny_bundle.raw(size=number / 7, colour="red") for number in range(40)]
        found: dict[int, tuple[int, bytes]] = {}

        def client(number: int) -> None:
            body = (
                json.dumps([rows[number]]) if number % 2 else json.dumps({"rows": [rows[number]]})
            )
            if number == 17:
                body = '{"rows": [{"size": "no number"}]}'
            found[number] = gate.predict(body=body.encode())

        threads = [threading.Thread(target=client, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, (status, body) in found.items():
            if number == 17:
                assert status == 422
                continue
            alone = to_json({"predictions": bundle.predict([rows[number]]).records()}).encode()
            assert (status, body) == (200, alone)
        (pool,) = gate.front.gateway.routes[gate.world.operator.tenant_id, "tiny"].pools.values()
        assert pool.batches.sent or pool.batches._paused_until > 0


@pytest.mark.slow
def test_drift_is_found_and_the_log_tells(tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.written("json", told), gateway_world(tmp_path) as gate:
        gate.up(log_share=1.0)
        for number in range(120):
            row = tiny_bundle.raw(size=1000 + number, colour="purple" if number % 2 else "red")
            assert gate.predict(body=json.dumps([row]).encode())[0] == 200
        found = until(
            lambda: (
                (one := gate.json("GET", "/api/v1/deployments/tiny/drift"))["columns"]
                and one["columns"][0]["rows"] >= 100
                and one
            )
        )
        columns = {one["column"]: one for one in found["columns"] if one["role"] == "input"}
        assert found["reference_rows"] == len(tiny_bundle.ROWS) and found["drifted"]
        assert columns["size"]["drifted"] and columns["size"]["ks"] == 1.0
        assert columns["colour"]["unseen"] == pytest.approx(0.5, abs=0.1)
        assert {one["column"] for one in found["columns"] if one["role"] == "prediction"} >= {
            "label"
        }

        until(lambda: told.getvalue().count("/models/tiny/predict") >= 120)
        lines = [json.loads(line) for line in told.getvalue().splitlines()]
        asked = [one for one in lines if one.get("path") == "/models/tiny/predict"]
        assert {(one["deployment"], one["status"]) for one in asked} == {("tiny", 200)}
        tenant = gate.world.operator.tenant_id
        assert {(one["tenant"], one["key_id"]) for one in asked} == {
            (tenant, gate.world.operator.key_id)
        }
        assert len({one["request_id"] for one in asked}) == 120
        assert "purple" not in told.getvalue() and gate.world.key not in told.getvalue()
        (log,) = until(lambda: list((gate.folder / "home/gateway/requests").rglob("*.jsonl")))
        until(lambda: log.read_text().count("\n") == 120)
        kept = json.loads(log.read_text().splitlines()[0])
        assert json.loads(kept["body"])[0]["size"] == 1000 and "predictions" in kept["answer"]
        assert np.isfinite(kept["ms"])
