"""Figure 13: SIGTERM under load; no request that the server took is without its answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from live_service import LiveService, live_service

CLIENTS = 8

STOPS = 3  # SIXFOLD_STOPS=20 for the whole figure


def load(service: LiveService, ending: threading.Event, counts: dict[str, int]) -> None:
    """Requests one after the other, each on a connection of its own, so that a refused connection is no request in
    flight. They look again seldom enough that a service that starts has the processor.
    """
    headers = {"Authorization": f"Bearer {service.key}", "Connection": "close"}
    while not ending.is_set():
        http = HTTPConnection("127.0.0.1", service.port, timeout=60)
        try:
            http.request("GET", "/api/v1/jobs?limit=5", headers=headers)
            answer = http.getresponse()
            answer.read()
            counts["good" if answer.status == 200 else "bad"] += 1
        except ConnectionRefusedError:
            counts["refused"] += 1
            ending.wait(0.1)
        except (OSError, HTTPException):
            counts["cut"] += 1
        finally:
            http.close()


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


@pytest.mark.slow
def test_stops_under_load_lose_no_request(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        check(stops(service, int(os.environ.get("SIXFOLD_STOPS", STOPS))))


def watching(service: LiveService, job: str) -> HTTPConnection:
    """A client in the middle of a job's stream of events, which lasts as long as the job."""
    http = HTTPConnection("127.0.0.1", service.port, timeout=60)
    headers = {"Authorization": f"Bearer {service.key}"}
    http.request("GET", f"/api/v1/jobs/{job}/stream", headers=headers)
    answer = http.getresponse()
    assert answer.status == 200 and answer.readline().startswith(b"id: 1")
    return http


@pytest.mark.slow
def test_a_stop_ends_streams_and_a_second_signal_ends_at_once(tmp_path: Path, bundle: Path) -> None:
    """Who only watches holds nobody up; what was acknowledged is there afterwards, however the server ended."""
    with live_service(tmp_path, bundle, workers=0) as service:
        jobs = [service.submit()]
        watched = watching(service, jobs[0])
        assert service.terminate() == 0
        watched.close()
        assert "timeout graceful shutdown" not in service.log()
        service.start()
        jobs.append(service.submit())
        assert service.server is not None
        for _ in range(2):
            service.server.send_signal(signal.SIGTERM)
        assert service.server.wait(60) in (0, 1, -signal.SIGTERM)
        service.start()
        assert {one["id"] for one in service.client().jobs()} == set(jobs)
