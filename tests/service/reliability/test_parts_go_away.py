"""What the service stands on goes away for a while: a full disk, a lost database. It says so, loses nothing, and goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest
from live_service import LiveService, live_service, recipe, until
from postgres_server import PostgresServer

ROUTES = [  # as programs and the stock client of OpenAI see it
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/v1/fine_tuning/jobs"),
]


def http_of(service: LiveService) -> httpx.Client:
    headers = {"Authorization": f"Bearer {service.key}"}
    return httpx.Client(base_url=service.url, headers=headers, timeout=60, trust_env=False)


def submit(http: httpx.Client, words: str = "quick") -> httpx.Response:
    return http.post("/api/v1/jobs", json={"recipe": recipe(words=words), "files": {}})


def is_told(answer: httpx.Response, *words: str) -> None:
    """A clear 503: what was found, when to come again, and nothing that is secret."""
    assert answer.status_code == 503, answer.text
    assert all(word in answer.text for word in words), answer.text
    assert "Traceback" not in answer.text and "postgresql://" not in answer.text


@pytest.mark.slow
def test_a_lost_database_is_told_and_jobs_go_on_when_it_is_back(
    tmp_path: Path, bundle: Path, postgres: PostgresServer
) -> None:
    database = postgres.create("goes_away")
    with (
        live_service(tmp_path, bundle, database=database, workers=1, stage_s=1.0) as service,
        http_of(service) as http,
    ):
        job = submit(http).json()["id"]
        until(lambda: "start second" in service.noted().get(job, []))
        postgres.stop(signal.SIGQUIT)
        try:
            until(lambda: http.get("/readyz").status_code == 503)
            is_told(http.get("/readyz"), "not ready", "database")
            assert http.get("/livez").status_code == 200
            for method, path in ROUTES:
                body = {"recipe": recipe(), "files": {}} if method == "POST" else None
                is_told(http.request(method, path, json=body))
        finally:
            postgres.start()
        until(lambda: http.get("/readyz").status_code == 200)
        done = service.client().wait(job)
        assert (done["state"], done["crashes"]) == ("succeeded", 0)
        assert submit(http).status_code == 201


@pytest.mark.slow
def test_a_database_file_that_is_moved_away_is_told(tmp_path: Path, bundle: Path) -> None:
    """No new empty one takes its place, in which acknowledged jobs would be missing."""
    with live_service(tmp_path, bundle, workers=0) as service, http_of(service) as http:
        kept = [submit(http).json()["id"]]
        home, away = tmp_path / "home", tmp_path / "away"
        away.mkdir()
        moved = sorted(home.glob("sixfold.db*"))
        for path in moved:
            path.rename(away / path.name)
        until(lambda: http.get("/readyz").status_code == 503)
        is_told(http.get("/readyz"), "not ready", "database")
        assert http.get("/livez").status_code == 200
        answer = submit(http)
        assert answer.status_code == 503, answer.text
        assert not (home / "sixfold.db").exists()
        for path in moved:
            (away / path.name).rename(path)
        until(lambda: http.get("/readyz").status_code == 200)
        kept.append(submit(http).json()["id"])
        assert {one["id"] for one in http.get("/api/v1/jobs").json()["data"]} == set(kept)


def fill(disk: Path) -> Path:
    """All of it, to the last byte."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue
    return path


@pytest.mark.slow
def test_a_full_disk_under_the_server_is_told_and_it_goes_on(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0, disk_mb=24) as service, http_of(service) as http:
        assert service.server is not None
        disk = Path(f"/proc/{service.server.pid}/root{tmp_path / 'home'}")
        kept, long = [submit(http).json()["id"]], "x" * 50_000
        filled = fill(disk)
        for _ in range(1000):  # what was allotted to the database's log takes some more
            answer = submit(http, long)
            if answer.status_code != 201:
                break
            kept.append(answer.json()["id"])
        is_told(answer, "room on the disk")
        assert answer.headers["retry-after"]
        is_told(http.post("/api/v1/files?filename=a.csv&purpose=data", content=bytes(1 << 20)))
        until(lambda: http.get("/readyz").status_code == 503)
        is_told(http.get("/readyz"), "not ready", "artifacts")
        assert http.get("/livez").status_code == 200
        assert http.get(f"/api/v1/jobs/{kept[0]}").status_code == 200
        filled.unlink()
        until(lambda: http.get("/readyz").status_code == 200)
        kept.append(submit(http, long).json()["id"])
        assert http.post("/api/v1/files?filename=a.csv&purpose=data", content=b"x").is_success
        assert {job["id"] for job in service.client().jobs()} == set(kept)
