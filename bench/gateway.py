"""Predictions through the gateway (key, scope, quota, use and figures of every request) beside the replica itself, the same with
every request alone, and other servers, which check no key: the digits' network, client and server on one machine.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sklearn.datasets import load_digits

import sixfold
from bench import serving
from bench.child import ROOT, Refused
from bench.load import Connection
from bench.pairs import Absent, Result
from bench.serving import OURS, PEERS, Kind, Server, Workload
from sixfold.service.domain.people import Principal, Quota
from sixfold.service.stores.opening import open_artifacts
from sixfold.service.stores.sql_database import open_database
from sixfold.service.use_cases import people, registry
from sixfold.service.use_cases.registry import NewVersion
from sixfold.service.use_cases.service import Service

CONNECTIONS = (1, 64)
ROUNDS, SECONDS = 5, 1.0
A_REQUEST_S, ADDED_S, TOGETHER, OTHERS = 0.001, 0.003, 3.0, 3.0
START_S = 120.0
TIMES = 20  # that each row is asked beside the others
NAME, TOGETHER_NAME = "digits", "digits-together"
MOST_TOGETHER = 64
TAKEN = 40  # connections of requests alone: a replica that works in threads refuses the next one
GATEWAY = Kind("through the gateway", "sixfold")
ALONE = "every request alone"
ALLOWED = "the replica itself, and the 3 ms that are allowed"
RAY_SERVE = Kind("Ray Serve", "bench.peers.serve_ray", environment="rayserve", package="ray")


class GatewayServer(Server):
    """`sixfold up` with two deployments of one model: each request alone, and `together`."""

    def __init__(
        self,
        workload: Workload,
        place: Path,
        beside: GatewayServer | None = None,
        together: bool = False,
    ) -> None:
        self.kind, self.version, self.bytes, self._owner = GATEWAY, "", 0, beside
        self.seen = {number: [] for number in (*serving.CONNECTIONS, TAKEN)}
        if beside is None:
            self.key = _prepared(workload, place)
            self.process, self.port = _up(place)
        else:
            self.key, self.process, self.port = beside.key, beside.process, beside.port
        name = TOGETHER_NAME if together else NAME
        self._deploy(name, {"most_together": MOST_TOGETHER if together else 1})
        path = f"/models/{name}/predict"
        self.requests = [self._request(path, serving.rows_body(row)) for row in workload.rows]

    def close(self) -> None:
        """Ends it, and what was read of it."""
        super().close()
        if self._owner is None and self.process.stdout is not None:
            self.process.stdout.close()

    def _request(self, path: str, body: bytes) -> bytes:
        plain = serving.request(path, body)
        return plain.replace(
            b"\r\n\r\n", f"\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode(), 1
        )

    def _deploy(self, name: str, scaling: dict[str, int]) -> None:
        end = time.monotonic() + START_S
        self._ask("PUT", name, {"model": NAME, "scaling": scaling})
        while self._ask("GET", name)["state"] != "ready":
            if time.monotonic() > end:
                raise Refused("the deployment does not come up")
            time.sleep(0.1)

    def _ask(self, method: str, name: str, body: object = None) -> dict[str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1/deployments/{name}", sent, headers)
        answer: dict[str, str] = json.loads(connection.getresponse().read())
        connection.close()
        return answer


@contextmanager
def new_home(home: Path) -> Iterator[tuple[Service, Principal, str]]:
    """Of a service that no server has yet: it, whom the first key is of, and that key."""
    home.mkdir(parents=True)
    database = open_database(f"sqlite:///{home / 'sixfold.db'}")
    try:
        service = Service(database, open_artifacts(home / "artifacts"))
        key = people.first_start(service)
        assert key is not None
        yield service, people.authenticate(service, key), key
    finally:
        database.close()


def _prepared(workload: Workload, home: Path) -> str:
    """A home with the bundle as a model's version, and the first key: its tenant may ask a great deal, and is counted."""
    with new_home(home) as (service, who, key):
        quota = Quota(requests_per_minute=10**9, tokens_per_minute=10**9)
        people.set_quota(service, who, who.tenant_id, quota)
        tree, size = service.artifacts.put_tree(workload.bundle)
        with service.database.transaction() as rows:
            registry.publish(service, rows, who.tenant_id, NAME, NewVersion(tree, size))
        return key


def _up(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    arguments = ["up", "--home", str(home), "--port", "0", "--workers", "0"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "sixfold", *arguments],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("SIXFOLD_BENCH_VERBOSE") else subprocess.DEVNULL,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    found = re.search(r":(\d+)$", line.strip())
    if found is None:
        raise Refused(f"does not come up: {line}")
    return process, int(found[1])


def measure(
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    peers: Sequence[Kind] = (*PEERS, RAY_SERVE),
    wide: int = 2048,
) -> Iterator[Result]:
    """Requests a second, p50 and p99 of every number of connections and peer. `wide`: of a network whose own work is long."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        workload = serving._workload("digits", place, 0)
        gateway = GatewayServer(workload, place / "home")
        stack.callback(gateway.close)
        gateway.signal(signal.SIGSTOP)
        servers = [gateway, serving._running(OURS, workload, place, stack)]
        for kind in peers:
            try:
                servers.append(serving._running(kind, workload, place, stack))
            except Absent as error:
                yield Result(workload.name, kind.name, absent=str(error))
            except Refused as error:
                yield Result(workload.name, kind.name, absent=f"failed: {error}", failed=True)
        quality = serving._same(servers, workload)
        _load([(one, number) for number in CONNECTIONS for one in servers], rounds, seconds)
        yield from _rows(servers, quality, rounds)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workload = _wide(Path(folder), wide)
        alone = GatewayServer(workload, Path(folder) / "home")
        stack.callback(alone.close)
        together = GatewayServer(workload, Path(folder), alone, together=True)
        quality = _same_together(together, workload)
        _load([(alone, TAKEN), (together, CONNECTIONS[-1])], rounds, seconds)
        yield from _rows_together(alone, together, quality, rounds)


def _wide(place: Path, width: int) -> Workload:
    """The digits by a network of two wide layers."""
    frame = load_digits(as_frame=True).frame
    made = sixfold.fit(
        frame,
        target="target",
        out=place / "run",
        data={"holdout": 0},
        evaluate={"folds": 2},
        name="digits",
        build={"family": "mlp", "hidden": [width, width]},
        train={"epochs": 1},
    )
    signature = sixfold.load(made.bundle).signature
    some = frame.sample(serving.ASKED, random_state=0)[[one.name for one in signature.inputs]]
    rows = json.loads(some.to_json(orient="records"))
    return Workload(f"digits, network of 2 × {width}", made.bundle, rows, signature)


def _load(servers: Sequence[tuple[Server, int]], rounds: int, seconds: float) -> None:
    """Each with so many connections, interleaved; the first round warms."""
    for number in range(rounds + 1):
        for server, connections in servers:
            with serving._awake(server):
                server.load(connections, seconds if number else seconds / 2)
        if not number:
            for server, connections in servers:
                server.seen[connections].clear()


def _rows_together(alone: Server, together: Server, quality: str, rounds: int) -> Iterator[Result]:
    most = CONNECTIONS[-1]
    told = f"{quality}; {serving._told(together, most)}; alone {serving._told(alone, TAKEN)}"
    each = ((together, most), (alone, TAKEN))
    both = [one.median(number, serving._a_request) for one, number in each]
    title = f"digits, a wide network, gateway, {most} connections, together"
    yield Result(f"{title}: a request", ALONE, *both, quality=told, target=TOGETHER, rounds=rounds)
    p99 = [one.median(number, lambda seen: seen.p99_s) for one, number in each]
    yield Result(f"{title}: p99", ALONE, *p99, target=1, rounds=rounds)


def _same_together(server: GatewayServer, workload: Workload) -> str:
    """Asserts that rows asked at the same time get the answers that each gets alone."""
    with serving._awake(server):
        alone = server.answers(workload)
        with ThreadPoolExecutor(len(server.requests)) as threads:
            asked = [threads.submit(_asked_again, server.port, one) for one in server.requests]
        found = [
            [server.kind.read(workload, json.loads(one)) for one in each.result()] for each in asked
        ]
    same = all(one == mine for mine, each in zip(alone, found, strict=True) for one in each)
    for mine, each in zip(alone, found, strict=True):
        for one in each:
            assert one[0] == mine[0], (one, mine)
            assert max(abs(a - b) for a, b in zip(one[1:], mine[1:], strict=True)) <= serving.CLOSE
    return f"together {'to the last bit' if same else 'within 1e-9'} as alone"


def _asked_again(port: int, request: bytes) -> list[bytes]:
    connection = Connection(port)
    found = [connection.ask(request) for _ in range(TIMES)]
    connection.socket.close()
    return found


def _rows(servers: Sequence[Server], quality: str, rounds: int) -> Iterator[Result]:
    gateway, direct, *others = servers
    most = CONNECTIONS[-1]
    a_request = [gateway.median(most, serving._a_request), A_REQUEST_S]
    told = f"{quality}; {serving._told(gateway, most)}"
    title = f"digits, gateway, {most} connections"
    yield Result(
        f"{title}: a request",
        "the 1 ms that is asked for",
        *a_request,
        quality=told,
        target=1,
        rounds=rounds,
    )
    mine, own = (one.median(1, lambda seen: seen.p50_s) for one in (gateway, direct))
    told = f"{serving._told(gateway, 1)}; the replica itself {serving._told(direct, 1)}"
    title_one = "digits, gateway, 1 connection: p50"
    yield Result(title_one, ALLOWED, mine, own + ADDED_S, quality=told, target=1, rounds=rounds)
    for server, name, goal in (
        (direct, "the replica itself, no key", None),
        *((one, one.kind.name, OTHERS) for one in others),
    ):
        told = f"{serving._told(gateway, most)}; {server.version} {serving._told(server, most)}"
        both = [one.median(most, serving._a_request) for one in (gateway, server)]
        yield Result(f"{title}: a request", name, *both, quality=told, target=goal, rounds=rounds)
        p99 = [one.median(most, lambda seen: seen.p99_s) for one in (gateway, server)]
        yield Result(f"{title}: p99", name, *p99, target=1 if goal else None, rounds=rounds)
