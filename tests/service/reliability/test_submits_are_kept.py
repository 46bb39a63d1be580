"""Figure 3: what was acknowledged is there after a kill, and a key that is sent many times makes one job."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from live_service import LiveService, live_service, recipe, until

# SIXFOLD_SUBMITS=1000 SIXFOLD_KEYS=200 SIXFOLD_REPEATS=50 SIXFOLD_KILLS=5 for the whole figure
SUBMITS, KEYS, REPEATS, KILLS = 80, 10, 10, 2


def count_of(name: str, usual: int) -> int:
    return int(os.environ.get(f"SIXFOLD_{name}", usual))


def submit_until_dead(service: LiveService, kept: list[str], most: int) -> None:
    """Without patience: what is not answered is not counted."""
    headers = {"Authorization": f"Bearer {service.key}"}
    with (
        httpx.Client(base_url=service.url, headers=headers, trust_env=False) as http,
        contextlib.suppress(httpx.TransportError),
    ):
        while len(kept) < most:
            answer = http.post("/api/v1/jobs", json={"recipe": recipe(), "files": {}})
            if answer.status_code == 201:
                kept.append(answer.json()["id"])


def acknowledged(service: LiveService, most: int, kills: int) -> list[str]:
    rng, kept = random.Random(3), list[str]()
    for at in range(kills + 1):
        threads = [
            threading.Thread(target=submit_until_dead, args=(service, kept, most)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        if at < kills:
            until(lambda at=at: len(kept) >= (at + 0.5) * most / (kills + 1))
            time.sleep(rng.random() * 0.1)
            service.kill()
        for thread in threads:
            thread.join()
        if at < kills:
            service.start()
    return kept


def raise_quota(service: LiveService) -> None:
    """More jobs may wait than the 1,000 that a tenant has at first."""
    http = service.transport()
    tenant = next(one for one in http.call("GET", "/api/v1/tenants")["data"])
    path = f"/api/v1/tenants/{tenant['id']}/quota"
    http.call("PUT", path, {"jobs_waiting": 100_000})


def check_kept(service: LiveService, most: int, kills: int) -> None:
    raise_quota(service)
    kept = acknowledged(service, most, kills)
    there = {job["id"] for job in service.client().jobs()}
    missing = set(kept) - there
    print(f"{len(kept)} submits acknowledged, {kills} kills of the server, {len(missing)} lost")
    assert len(kept) >= most
    assert not missing


@pytest.mark.slow
def test_many_acknowledged_submits_are_kept(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        check_kept(service, count_of("SUBMITS", SUBMITS), count_of("KILLS", KILLS))


def send_keys(service: LiveService, keys: int, times: int, kills: int = 0) -> None:
    """`keys` clients at once, and of each key several requests, while the server is killed and started again. Whoever gets no
    answer asks again, as clients do.
    """
    raise_quota(service)
    headers = {"Authorization": f"Bearer {service.key}"}
    body = {"recipe": recipe(), "files": {}}

    answered, again = list[tuple[int, str]](), list[int]()

    def send(key: int) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):  # the server was killed
                name = {"Idempotency-Key": f"key-{key}"}
                answer = http.post("/api/v1/jobs", json=body, headers=name)
                if answer.status_code != 503:  # a busy machine
                    assert answer.status_code == 201, answer.text
                    answered.append((key, answer.json()["id"]))
                    return
            again.append(key)
            time.sleep(0.05)

    order = [key for key in range(keys) for _ in range(times)]
    random.Random(50).shuffle(order)
    limits = httpx.Limits(max_connections=keys)
    with (
        httpx.Client(
            base_url=service.url, headers=headers, trust_env=False, limits=limits, timeout=120
        ) as http,
        ThreadPoolExecutor(keys) as threads,
    ):
        sent = [threads.submit(send, key) for key in order]
        for at in range(kills):
            due = (at + 0.5) * len(order) / kills
            until(lambda due=due: len(answered) >= due or all(one.done() for one in sent), 600)
            service.kill()
            service.start()
        for one in sent:
            one.result()
    made = {job["id"] for job in service.client().jobs()}
    print(
        f"{keys} idempotency keys × {times}, {kills} kills of the server: {len(answered)} answers, "
        f"{len(again)} sent again without one, {len(made)} jobs"
    )
    assert len(answered) == keys * times
    assert len(set(answered)) == len(made) == keys
    assert {job for _, job in answered} == made


@pytest.mark.slow
def test_clients_that_repeat_themselves_make_a_job_each(tmp_path: Path, bundle: Path) -> None:
    keys, times = count_of("KEYS", KEYS), count_of("REPEATS", REPEATS)
    with live_service(tmp_path, bundle, workers=0) as service:
        send_keys(service, keys, times, kills=count_of("KILLS", KILLS))
