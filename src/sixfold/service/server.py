"""`sixfold up`: the server, an observer of workers, and workers on this machine, started by one command."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn

from sixfold.core.errors import SystemFault
from sixfold.core.paths import write_atomic
from sixfold.service.api.app import create
from sixfold.service.domain.errors import Conflict, Unavailable
from sixfold.service.domain.people import Scope
from sixfold.service.gateway.bounded_head import BoundedHead
from sixfold.service.graceful_server import GracefulServer
from sixfold.service.process_tools import BEFORE_EXEC
from sixfold.service.stores.opening import opened
from sixfold.service.traced_use_cases import trace_use_cases
from sixfold.service.use_cases import people
from sixfold.service.use_cases.observer import Observer
from sixfold.service.use_cases.service import Service, ServiceSettings
from sixfold.service.use_cases.sign_on import SignOn
from sixfold.service.use_cases.sweep import Sweeper
from sixfold.telemetry import logs, traces

PROGRAM = (sys.executable, "-m", "sixfold")  # tests put one with quicker jobs in its place
LOOK_S: Final = 0.5
SWEEP_S: Final = 300.0
STOP_S: Final = 22.0  # for workers; requests in work have what is left of half a minute
REQUESTS_S: Final = 6
WORKER_KEY: Final = (
    "worker.key"  # of the workers on this machine, for the user who started the server alone
)


@dataclass(frozen=True)
class Up:
    """`home`: where everything is. `database`, `artifacts`: left out, SQLite and a folder in it. `workers`: on this machine.

    `log`: the form of the log, of the workers on this machine, too. `sign_on`: with accounts of elsewhere.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8900
    database: str | None = None
    artifacts: str | None = None
    workers: int = 1
    allow_hosts: Sequence[str] = ()
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    log: str | None = None
    sign_on: SignOn | None = None


def up(asked: Up) -> None:
    """Until SIGTERM or SIGINT. Raises SystemFault, ServiceError."""
    with opened(asked.home, asked.database, asked.artifacts) as (database, store):
        service = Service(database, store, asked.settings)
        if traces.are_taken():
            trace_use_cases()
        _must_be_guarded(service, asked.host)
        _serve(asked, service, people.first_start(service))


def first_key(asked: Up) -> str | None:
    """The first key, made without listening anywhere; None where there is one. Raises SystemFault, ServiceError."""
    with opened(asked.home, asked.database, asked.artifacts) as (database, store):
        return people.first_start(Service(database, store, asked.settings))


def _must_be_guarded(service: Service, host: str) -> None:
    """On any other address than loopback somebody must hold a key already."""
    with suppress(ValueError):
        if host == "localhost" or ip_address(host).is_loopback:
            return
    with service.database.reading() as rows:
        if rows.keys.any_of(Scope.ADMIN, service.now()):
            return
    remedy = (
        "Make the first one before: sixfold up --first-key, with the same --home and --database."
    )
    raise SystemFault("--host", "127.0.0.1 until there is a key", host, remedy)


def _serve(asked: Up, service: Service, first: str | None) -> None:
    hosts = [*asked.allow_hosts, asked.host]
    ending = threading.Event()
    app = create(service, asked.home.resolve(), hosts, asked.sign_on, ending)
    gc.collect()
    gc.freeze()  # what is there now stays: it is not looked through again and again while requests wait
    config = uvicorn.Config(
        app,
        host=asked.host,
        port=asked.port,
        http=BoundedHead,
        ws="none",
        log_config=None,  # as all other lines of the log
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=REQUESTS_S,
    )
    socket = config.bind_socket()
    port = socket.getsockname()[1]
    address = f"http://{f'[{asked.host}]' if ':' in asked.host else asked.host}:{port}"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(ending))
    server = GracefulServer(config, ending)
    serving = threading.Thread(target=server.run, args=([socket],))
    observer = Observer(service)
    workers = [
        LocalWorker(asked, service, observer, address, number) for number in range(asked.workers)
    ]
    serving.start()
    listens = server.wait_until_it_listens()
    threading.Thread(target=_observe, args=(observer, ending), daemon=True).start()
    threading.Thread(target=_sweep, args=(Sweeper(service), ending), daemon=True).start()
    for worker in workers:
        worker.start(ending)
    if listens:
        print(f"Sixfold is up on {address}", flush=True)
    if first is not None:
        print(f"The first key, shown once: {first}", flush=True)
    while not ending.wait(LOOK_S):  # a signal that comes as the wait begins wakes nobody
        pass
    for worker in workers:  # while the server still answers them
        worker.ask_to_end()
    for worker in workers:
        worker.wait()
    server.should_exit = True
    serving.join()
    if not listens:
        raise SystemFault(address, "a server", "it ended at its start", "Read the lines above.")


def _end(ending: threading.Event) -> None:
    """The first signal ends in order, within 30 s; the second one now: what was acknowledged is on the disk."""
    if ending.is_set():
        os._exit(1)
    ending.set()


def _observe(observer: Observer, ending: threading.Event) -> None:
    while not ending.wait(LOOK_S):
        with suppress(Unavailable, Conflict):
            observer.look()


def _sweep(sweeper: Sweeper, ending: threading.Event) -> None:
    while not ending.wait(SWEEP_S):
        with suppress(Unavailable, Conflict):
            found = sweeper.sweep()
            if found.unreadable:
                shown = ", ".join(found.unreadable[:3])
                logs.event("store.damaged", logging.WARNING, digests=shown, removed="nothing")


@dataclass
class LocalWorker:
    """A worker process on this machine, started again when it dies; its jobs are free at once. So are those of the worker of a
    server before this one, which died with it: its id is written down.
    """

    asked: Up
    service: Service
    observer: Observer
    address: str
    number: int
    process: subprocess.Popen[bytes] | None = None

    def start(self, ending: threading.Event) -> None:
        """In a thread of its own, until `ending`."""
        threading.Thread(target=self._keep, args=(ending,), daemon=True).start()

    def _keep(self, ending: threading.Event) -> None:
        known = self.asked.home / "worker" / f"local{self.number}.id"
        known.parent.mkdir(parents=True, exist_ok=True)
        if known.is_file():
            self._is_dead(known.read_text().strip(), ending, crashed=False)
        while not ending.is_set():
            worker_id = f"worker-local{self.number}{secrets.token_hex(8)}"
            write_atomic(known, worker_id)
            try:
                self.process = self._start(worker_id)
            except Unavailable:  # the database is away
                ending.wait(LOOK_S)
                continue
            self.process.wait()
            if not ending.is_set():
                self._is_dead(worker_id, ending)
            ending.wait(LOOK_S)

    def _start(self, worker_id: str) -> subprocess.Popen[bytes]:
        key = _worker_key(self.service, self.asked.home)
        home = str(self.asked.home / "worker")
        arguments = ["worker", "--server", self.address, "--home", home, "--id", worker_id]
        arguments += ["--log", self.asked.log or logs.TEXT]
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            env={**os.environ, "SIXFOLD_API_KEY": key},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=BEFORE_EXEC,
        )

    def _is_dead(self, worker_id: str, ending: threading.Event, crashed: bool = True) -> None:
        """Told until it is kept: the database may be away, too."""
        while not ending.is_set():
            try:
                self.observer.lost(worker_id, crashed)
                return
            except (Unavailable, Conflict):
                ending.wait(LOOK_S)

    def ask_to_end(self) -> None:
        """It gives its jobs back."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Until it ended; it is killed where that takes too long."""
        if self.process is not None:
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()


def _worker_key(service: Service, home: Path) -> str:
    """Of this machine's workers; made where there is none, readable by its owner alone."""
    path = home / WORKER_KEY
    with suppress(OSError):
        key = path.read_text().strip()
        with suppress(Exception):
            people.authenticate(service, key)
            return key
    key = people.worker_key(service)
    old = os.umask(0o077)
    try:
        write_atomic(path, key)
    finally:
        os.umask(old)
    return key
