"""Figure 13: SIGTERM under load; no request that the server took is without its answer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import httpx
import pytest
from live_service import LiveService, live_service

CLIENTS = 8

STOPS = 3  # SIXFOLD_STOPS=20 for the whole figure


def load(service: LiveService, ending: threading.Event, counts: dict[str, int]) -> None:
    """Requests one after the other, each on a connection of its own, so that a refused connection is no request in flight."""
    headers = {"Authorization": f"Bearer {service.key}", "Connection": "close"}
    while not ending.is_set():
        try:
            with httpx.Client(base_url=service.url, headers=headers, trust_env=False) as http:
                answer = http.get("/api/v1/jobs?limit=5", timeout=60)
            counts["good" if answer.status_code == 200 else "bad"] += 1
        except httpx.ConnectError:
            counts["refused"] += 1
            time.sleep(0.01)
        except httpx.TransportError:
            counts["cut"] += 1


def stops(service: LiveService, count: int) -> dict[str, int]:
    counts = dict.fromkeys(("good", "bad", "cut", "refused"), 0)
    ending = threading.Event()
    threads = [
        threading.Thread(target=load, args=(service, ending, counts)) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for _ in range(count):
        time.sleep(0.3)
        started = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - started < 30
        service.start()
    ending.set()
    for thread in threads:
        thread.join()
    print(f"{count} × SIGTERM under load: {counts}")
    return counts


def check(counts: dict[str, int]) -> None:
    assert counts["good"] > 0
    assert (counts["bad"], counts["cut"]) == (0, 0)


def test_a_stop_under_load_loses_no_request(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        check(stops(service, 1))


@pytest.mark.slow
def test_stops_under_load_lose_no_request(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        check(stops(service, int(os.environ.get("SIXFOLD_STOPS", STOPS))))
