"""Figures 1 and 2: nothing is lost, done twice, or done again, whoever is killed; and a dead worker's job goes on soon."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from live_service import LiveService, done_again, live_service, until
from postgres_server import PostgresServer

FEW = (8, 2, 1, 0)
ALL = (200, 50, 10, 10)


def disturb(service: LiveService, what: str, rng: random.Random, postgres: PostgresServer) -> None:
    if what == "worker":
        rng.choice(until(service.local_workers)).kill()
    elif what == "server":
        service.kill()
        service.start()
    else:
        postgres.stop(signal.SIGQUIT)  # at once, as a crash
        postgres.start()


def finished(service: LiveService) -> int:
    return sum("done third" in lines for lines in service.noted().values())


def survive(
    service: LiveService, counts: tuple[int, int, int, int], postgres: PostgresServer | None
) -> None:
    jobs, workers, servers, databases = counts
    rng = random.Random(16)
    ids: list[str] = []
    submitting = threading.Thread(
        target=lambda: ids.extend(service.client().submit(RECIPES / "three.yaml")["id"] for _ in range(jobs))
    )
    submitting.start()


def test_it(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle) as service:
        t=time.monotonic()
        one = service.submit()
        print(service.client().wait(one)["state"], time.monotonic()-t, service.noted())
        ev = list(service.client().events(one))
        print([e["message"] for e in ev])
        print(service.client().model("three"))
