"""One row over HTTP: `sixfold serve` beside FastAPI by hand, LitServe, MLServer and BentoML around
the same ONNX model.

One process each (LitServe and BentoML start more of their own), with uvloop and httptools where
they can; 1, 8 and 64 connections, kept alive, that ask again as soon as they were answered, from
one client (`bench/load.py`) on the same two cores as the server, of which it takes what each row
says. The servers take turns; those whose turn it is not are stopped (SIGSTOP). Before anything is
timed all of them have to give the same labels and, within 1e-9, the same probabilities for 20 rows.

All get the same JSON, but MLServer, which speaks the Open Inference Protocol: it gets a tensor of
all numbers and one of all categories. Sixfold's route of that protocol is measured with those, and
with a tensor a column. Time is wall time by the number of requests; memory is the proportional
share (PSS) of all processes of a server, at most.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from sklearn.datasets import load_digits

import sixfold
from bench.child import ROOT, Refused
from bench.load import Connection, Seen, request, run
from bench.pairs import Absent, Result

ADULT = "SIXFOLD_BENCH_ADULT"
START_S = 60.0
CONNECTIONS = (1, 8, 64)
ROUNDS, SECONDS = 5, 1.0
CLOSE, ASKED = 1e-9, 20
P50_S, BY_HAND, OTHERS, PROTOCOL = 0.0007, 1.2, 3.0, 1 / 1.5
Row = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A bundle and rows to ask with."""

    name: str
    bundle: Path
    rows: list[Row]
    signature: Any


@dataclass(frozen=True)
class Kind:
    """How a server is started, asked and read. `package` of `environment`: the peer's; ours has
    neither.
    """

    name: str
    module: str
    path: str = "/predict"
    body: Callable[[Workload, Row], bytes] = field(default=lambda workload, row: rows_body(row))
    read: Callable[[Workload, Any], list[Any]] = field(
        default=lambda workload, answer: _of_records(workload, answer)
    )
    environment: str = ""
    package: str = ""

    @property
    def python(self) -> Path:
        """Of its environment. Raises Absent."""
        python = Path(sys.executable) if not self.environment else ENVIRONMENTS[self.environment]
        if not python.exists():
            raise Absent(f"no .venv-{self.environment} here: `make bench` installs it")
        return python

    def version(self) -> str:
        """Of the peer that is installed."""
        code = f"import importlib.metadata; print(importlib.metadata.version({self.package!r}))"
        return subprocess.run(
            [str(self.python), "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()


def rows_body(row: Row) -> bytes:
    """Ours."""
    return json.dumps({"rows": [row]}).encode()


def matrices(workload: Workload, row: Row) -> bytes:
    """A tensor of all numbers, a tensor of all categories."""
    inputs = []
    for name, datatype, categories in (("numbers", "FP64", False), ("categories", "BYTES", True)):
        data = [
            row[one.name]
            for one in workload.signature.inputs
            if (one.type == "category") == categories
        ]
        if data:
            inputs.append(
                {"name": name, "shape": [1, len(data)], "datatype": datatype, "data": data}
            )
    return json.dumps({"inputs": inputs}).encode()


def columns(workload: Workload, row: Row) -> bytes:
    """A tensor a column."""
    kinds = {
        one.name: "BYTES" if one.type == "category" else "FP64" for one in workload.signature.inputs
    }
    inputs = [
        {"name": n, "shape": [1, 1], "datatype": kinds[n], "data": [value]}
        for n, value in row.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def _of_records(workload: Workload, answer: Any) -> list[Any]:
    (record,) = answer["predictions"]
    return [
        str(record["label"]),
        *(record["probability"][str(name)] for name in workload.signature.classes),
    ]


def _of_tensors(workload: Workload, answer: Any) -> list[Any]:
    data = {one["name"]: one["data"] for one in answer["outputs"]}
    return [str(data["label"][0]), *data["probability"]]


ENVIRONMENTS = {
    name: ROOT / f".venv-{name}" / "bin" / "python" for name in ("serving", "mlserver", "rayserve")
}
V2 = "/v2/models/{name}/infer"
OURS = Kind("Sixfold", "sixfold")
OUR_V2 = Kind("Sixfold, Open Inference Protocol", "sixfold", V2, matrices, _of_tensors)
OUR_COLUMNS = Kind(
    "Sixfold, Open Inference Protocol, a tensor a column", "sixfold", V2, columns, _of_tensors
)
PEERS = (
    Kind("FastAPI by hand", "bench.peers.serve_fastapi", environment="serving", package="fastapi"),
    Kind("LitServe", "bench.peers.serve_litserve", environment="serving", package="litserve"),
    Kind("BentoML", "bench.peers.serve_bentoml", environment="serving", package="bentoml"),
    Kind(
        "MLServer",
        "bench.peers.serve_mlserver",
        "/v2/models/served/infer",
        matrices,
        _of_tensors,
        "mlserver",
        "mlserver",
    ),
)


class Server:
    """A running server, stopped while others are measured."""

    def __init__(
        self, kind: Kind, workload: Workload, place: Path, beside: Server | None = None
    ) -> None:
        self.kind, self.seen = kind, {number: list[Seen]() for number in CONNECTIONS}
        self.path = kind.path.format(name="digits" if "digits" in workload.name else "adult")
        self.requests = [request(self.path, kind.body(workload, row)) for row in workload.rows]
        self.bytes = 0
        self.version = kind.version() if kind.package else ""
        self._owner = beside
        if beside is None:
            self.port = _free_port()
            self.process = _start(kind, workload, self.port, place)
        else:
            self.port, self.process = beside.port, beside.process

    def answers(self, workload: Workload) -> list[list[Any]]:
        """For every row of the workload."""
        connection = Connection(self.port)
        bodies = [connection.ask(one) for one in self.requests]
        connection.socket.close()
        return [self.kind.read(workload, json.loads(body)) for body in bodies]

    def load(self, connections: int, seconds: float) -> None:
        """One round of one number of connections."""
        self.seen[connections].append(run(self.port, self.requests[0], connections, seconds))
        self.bytes = max(self.bytes, _memory(self.process))

    def median(self, connections: int, of: Callable[[Seen], float]) -> float:
        """Over the rounds."""
        return statistics.median(of(one) for one in self.seen[connections])

    def signal(self, number: int) -> None:
        """To all processes of the server."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        """Ends it."""
        if self._owner is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()


def measure(
    rounds: int = ROUNDS,
    workloads: Sequence[str] = ("digits", "adult"),
    seconds: float = SECONDS,
    peers: Sequence[Kind] = PEERS,
    trees: int = 200,
) -> Iterator[Result]:
    """Requests a second, p50, p99 and memory of every workload, number of connections and peer."""
    for name in workloads:
        with tempfile.TemporaryDirectory() as place:
            try:
                workload = _workload(name, Path(place), trees)
            except Absent as error:
                yield Result(name, "all", absent=str(error))
                continue
            yield from _of(workload, Path(place), rounds, seconds, peers)


def _of(
    workload: Workload, place: Path, rounds: int, seconds: float, peers: Sequence[Kind]
) -> Iterator[Result]:
    with ExitStack() as stack:
        ours = _running(OURS, workload, place, stack)
        beside = [Server(kind, workload, place, ours) for kind in (OUR_V2, OUR_COLUMNS)]
        servers, absent = [ours, *beside], []
        for kind in peers:
            try:
                servers.append(_running(kind, workload, place, stack))
            except Absent as error:
                absent.append(Result(workload.name, kind.name, absent=str(error)))
            except Refused as error:
                absent.append(
                    Result(workload.name, kind.name, absent=f"failed: {error}", failed=True)
                )
        quality = _same(servers, workload)
        for number in range(rounds + 1):
            for connections in CONNECTIONS:
                for server in servers:
                    with _awake(server):
                        server.load(connections, seconds if number else seconds / 2)
            if not number:  # warm
                for server in servers:
                    for seen in server.seen.values():
                        seen.clear()
        yield from absent
        yield from _rows(workload, servers, quality, rounds)


def _rows(
    workload: Workload, servers: Sequence[Server], quality: str, rounds: int
) -> Iterator[Result]:
    ours, v2, by_columns, *others = servers
    yield Result(
        f"{workload.name}, 1 connection: p50",
        "the 0.7 ms that are asked for",
        ours.median(1, lambda one: one.p50_s),
        P50_S,
        target=1,
        rounds=rounds,
        quality=quality,
    )
    for connections in CONNECTIONS:
        title = f"{workload.name}, {connections} connection{'s' * (connections > 1)}"
        mine = ours.median(connections, _a_request)
        for server, goal in ((v2, PROTOCOL), (by_columns, PROTOCOL)):
            yield Result(
                f"{title}: a request of {server.kind.name.partition(', ')[2]}",
                "our own route",
                server.median(connections, _a_request),
                mine,
                target=goal,
                rounds=rounds,
                quality=_told(server, connections),
            )
        for server in others:
            goal = BY_HAND if server.kind.name == "FastAPI by hand" else OTHERS
            told = f"{_told(ours, connections)}; {server.version} {_told(server, connections)}"
            theirs = server.median(connections, _a_request)
            yield Result(
                f"{title}: a request",
                server.kind.name,
                mine,
                theirs,
                "s",
                told,
                goal,
                rounds=rounds,
            )
            p99 = [one.median(connections, lambda seen: seen.p99_s) for one in (ours, server)]
            yield Result(f"{title}: p99", server.kind.name, *p99, target=1, rounds=rounds)
    for server in others:
        yield Result(
            f"{workload.name}: memory",
            server.kind.name,
            ours.bytes,
            server.bytes,
            "B",
            rounds=rounds,
        )


def _a_request(seen: Seen) -> float:
    return 1 / seen.per_second


def _told(server: Server, connections: int) -> str:
    a_second = server.median(connections, lambda one: one.per_second)
    p50, p99 = (
        1e3 * server.median(connections, lambda one, q=q: getattr(one, q))
        for q in ("p50_s", "p99_s")
    )
    share = server.median(connections, lambda one: one.client_s / one.wall_s)
    return f"{connections} at once: {a_second:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, client {share:.0%} of a core"


def _same(servers: Sequence[Server], workload: Workload) -> str:
    """Asserts that all give the same answers."""
    first: list[list[Any]] = []
    for server in servers:
        with _awake(server):
            found = server.answers(workload)
        first = first or found
        for mine, others in zip(first, found, strict=True):
            assert mine[0] == others[0], (server.kind.name, mine, others)
            worst = max(abs(a - b) for a, b in zip(mine[1:], others[1:], strict=True))
            assert worst <= CLOSE, (server.kind.name, worst)
    return f"the same answers of all servers for {len(first)} rows"


def _workload(name: str, place: Path, trees: int) -> Workload:
    """A bundle of the digits' network or of Adult's boosted trees. Raises Absent."""
    settings: Mapping[str, Any]
    if name == "digits":
        frame, target = load_digits(as_frame=True).frame, "target"
        settings = {"build": {"family": "mlp", "hidden": [128, 64]}, "train": {"epochs": 15}}
    else:
        folder = os.environ.get(ADULT)
        if not folder:
            raise Absent(
                f"{ADULT} does not name the folder of adult_train.csv.gz (docs/how-to/adult-census.md)"
            )
        frame, target = (
            pd.read_csv(Path(folder) / "adult_train.csv.gz", keep_default_na=False),
            "income",
        )
        settings = {
            "build": {"family": "boosting", "rounds": trees, "learning_rate": 0.05, "leaves": 31}
        }
    data = {"holdout": 0, "missing": ["?", ""]}
    made = sixfold.fit(
        frame,
        target=target,
        out=place / "run",
        data=data,
        evaluate={"folds": 2},
        name=name,
        **settings,
    )
    signature = sixfold.load(made.bundle).signature
    some = frame.sample(ASKED, random_state=0)[[one.name for one in signature.inputs]]
    rows = json.loads(
        some.replace("?", "").to_json(orient="records")
    )  # missing, without the front end that knows the "?"
    title = {"digits": "digits, network", "adult": f"adult, {trees} trees"}[name]
    return Workload(title, made.bundle, rows, signature)


def _running(kind: Kind, workload: Workload, place: Path, stack: ExitStack) -> Server:
    """Started and answering, then stopped until its turn. Raises Absent, Refused."""
    server = Server(kind, workload, place / kind.module)
    stack.callback(server.close)
    end = time.monotonic() + START_S
    while True:
        try:
            server.answers(workload)
            break
        except OSError as error:
            if server.process.poll() is not None or time.monotonic() > end:
                raise Refused(f"does not answer: {error}"[:300]) from None
            time.sleep(0.2)
    server.signal(signal.SIGSTOP)
    return server


@contextmanager
def _awake(server: Server) -> Iterator[None]:
    server.signal(signal.SIGCONT)
    try:
        yield
    finally:
        server.signal(signal.SIGSTOP)


def _start(kind: Kind, workload: Workload, port: int, place: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, whose processes are signalled together."""
    place.mkdir(parents=True, exist_ok=True)
    arguments = [str(workload.bundle), str(port), str(place)]
    if kind.module == "sixfold":
        arguments = ["serve", str(workload.bundle), "--port", str(port)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = None if os.environ.get("SIXFOLD_BENCH_VERBOSE") else subprocess.DEVNULL
    return subprocess.Popen(
        [str(kind.python), "-m", kind.module, *arguments],
        cwd=ROOT,
        start_new_session=True,
        stdout=quiet,
        stderr=quiet,
        env={**os.environ, "PYTHONPATH": path},
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _memory(process: subprocess.Popen[bytes]) -> int:
    """Bytes of a process and its children: what they share counts once."""
    whole = psutil.Process(process.pid)
    return sum(one.memory_full_info().pss for one in [whole, *whole.children(recursive=True)])
