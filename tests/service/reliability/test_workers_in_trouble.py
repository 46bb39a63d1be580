"""What goes wrong on a worker's machine: the job's process, its memory, its folders, its version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from live_service import LiveService, done_again, live_service, on_a_disk, recipe, until

from sixfold import __version__
from sixfold.service.client.client import Client
from sixfold.service.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    ServiceError,
    Unauthenticated,
)


@pytest.fixture(scope="module")
def calm(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path
) -> Iterator[tuple[LiveService, Client]]:
    """A service with a worker, for jobs of which no trouble is left behind."""
    home = tmp_path_factory.mktemp("calm")
    with live_service(home, bundle, workers=1, stage_s=1.0, stop_s=0.5) as service:
        yield service, service.client()


@pytest.mark.slow
def test_a_job_that_ignores_ctrl_c_is_ended_and_goes_on_when_resumed(
    calm: tuple[LiveService, Client],
) -> None:
    service, client = calm
    job = service.submit("deaf")
    until(lambda: "start second" in service.noted().get(job, []))
    client.change(job, "pause")
    until(lambda: client.job(job)["state"] == "paused")
    client.change(job, "resume")
    done = client.wait(job)
    assert (done["state"], done["crashes"]) == ("succeeded", 0)
    assert done_again({job: service.noted()[job]}) == []


@pytest.mark.slow
def test_a_paused_job_that_is_resumed_at_once_is_no_crash(
    calm: tuple[LiveService, Client],
) -> None:
    service, client = calm
    job = service.submit()
    until(lambda: "start second" in service.noted().get(job, []))
    client.change(job, "pause")
    client.change(job, "resume")
    assert client.wait(job)["state"] == "succeeded"
    told = [event["message"] for event in client.events(job)]
    assert not any("parked" in one for one in told)


@pytest.mark.slow
def test_a_job_that_dies_three_times_is_parked_with_its_last_lines(
    calm: tuple[LiveService, Client],
) -> None:
    service, client = calm
    done = client.wait(service.submit("crash"))
    assert (done["state"], done["failure"]["code"]) == ("failed", "crashed")
    noted = service.noted()[done["id"]]
    assert noted.count("start first") == 1
    assert noted.count("start second") == 3


@pytest.mark.slow
def test_a_job_that_holds_more_than_planned_is_ended(tmp_path: Path, bundle: Path) -> None:
    """The plan says 12 MB, the process holds 400."""
    with live_service(tmp_path, bundle, workers=1, stage_s=3.0) as service:
        done = service.client().wait(service.submit("greedy"))
        assert (done["state"], done["failure"]["code"]) == ("failed", "budget")
        assert "half more than planned" in done["failure"]["message"]


@pytest.mark.slow
def test_nothing_of_a_finished_job_stays_on_the_worker_and_its_model_is_whole(
    calm: tuple[LiveService, Client], tmp_path: Path, bundle: Path
) -> None:
    service, client = calm
    done = [client.wait(service.submit(name="other")) for _ in range(2)]
    assert {job["state"] for job in done} == {"succeeded"}
    jobs, ids = service.folder / "home" / "worker" / "jobs", {job["id"] for job in done}
    until(lambda: not ids & {place.name for place in jobs.iterdir()})
    there = client.download("other", tmp_path / "got")
    found = {p.relative_to(there): p.read_bytes() for p in there.rglob("*") if p.is_file()}
    kept = {p.relative_to(bundle): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    assert found == kept


@pytest.mark.slow
def test_what_a_run_took_is_what_the_next_one_is_expected_to_take(
    tmp_path: Path, bundle: Path
) -> None:
    """Another recipe is planned anew; one that was continued by a second attempt was not measured as a whole."""
    with live_service(tmp_path, bundle, workers=1, stage_s=0.3) as service:
        client = service.client()
        first = client.wait(service.submit())
        assert first["needs"]["how"] == "counted"
        measured = first["measured"]
        assert measured["how"] == "measured" and measured["time_s"] >= 0.9
        assert measured["memory_bytes"] > 1 << 20 and measured["disk_bytes"] > 100
        second, other = (client.wait(service.submit(words)) for words in ("quick", "another"))
        assert second["needs"]["how"] == "measured"
        assert second["needs"]["time_s"] == measured["time_s"]
        assert second["needs"]["memory_bytes"] == int(1.2 * measured["memory_bytes"])
        assert other["needs"]["how"] == "counted"
        told = [event["message"] for event in client.events(second["id"])]
        assert any("It took" in one and "expected were" in one for one in told)
        third = service.submit("a third one")
        until(lambda: "start second" in service.noted().get(third, []))
        client.change(third, "pause")
        until(lambda: client.job(third)["state"] == "paused")
        client.change(third, "resume")
        assert client.wait(third)["measured"] is None


def test_a_client_of_another_version_is_told(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it asks that this server does not know: a field, a path, a method; not where its own mistake is another one."""
    asked = [
        ("POST", "/api/v1/jobs", {"recipe": recipe(), "gone": 1}, InvalidRequest),
        ("GET", "/api/v0/jobs", None, NotFound),
        ("PATCH", "/api/v1/jobs", {}, ServiceError),
    ]
    with live_service(tmp_path, bundle, workers=0) as service:
        http, stranger = service.transport(), service.transport("sf_nobody")
        for version, is_told in (("0.0.1", True), (__version__, False)):
            monkeypatch.setattr("sixfold.service.client.transport.__version__", version)
            for method, path, body, kind in asked:
                with pytest.raises(kind) as refusal:
                    http.call(method, path, body)
                told = f"This is Sixfold 0.0.1 and the server {__version__}: pip install"
                assert (told in refusal.value.remedy) is is_told, refusal.value
            with pytest.raises(Unauthenticated) as refusal:
                stranger.call("GET", "/api/v1/jobs")
            assert "pip install" not in str(refusal.value)


def test_an_old_worker_is_told(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        body = {
            "id": "worker-0123456789a",
            "name": "old",
            "version": "0.0.1",
            "cores": 1,
            "memory_bytes": 1,
            "free_bytes": 1,
        }
        with pytest.raises(Conflict, match="pip install 'sixfold=="):
            service.transport().call("POST", "/api/v1/workers", body)


def test_a_recipe_of_a_newer_version_is_refused(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0) as service:
        newer = recipe().replace("version: 1", "version: 7")
        with pytest.raises(InvalidRequest, match="version"):
            service.transport().call("POST", "/api/v1/jobs", {"recipe": newer, "files": {}})


@pytest.mark.slow
def test_a_second_server_on_one_file_is_refused(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0):
        command = [sys.executable, "-m", "sixfold", "up", "--home", str(tmp_path / "home")]
        second = subprocess.run([*command, "--port", "0"], capture_output=True, text=True)
        assert second.returncode == 1
        assert "Stop the other server" in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_backup_and_restore_on_the_command_line(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=1) as service:
        job = service.client().wait(service.submit())
        assert service.terminate() == 0
    sixfold = [sys.executable, "-m", "sixfold"]
    home, copy, again = tmp_path / "home", tmp_path / "copy", tmp_path / "again"
    made = subprocess.run(
        [*sixfold, "backup", copy, "--home", home, "--json"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    assert facts["rows"]["jobs"] == 1
    assert facts["missing"] == []
    back = subprocess.run([*sixfold, "restore", copy, "--home", again], capture_output=True)
    assert back.returncode == 0, back.stderr
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "home").symlink_to(again)
    with live_service(tmp_path / "elsewhere", bundle, workers=0, key=service.key) as restored:
        client = restored.client()
        assert client.job(job["id"])["state"] == "succeeded"
        client.download("three", tmp_path / "got")
        assert (tmp_path / "got" / "signature.json").read_bytes() == (
            bundle / "signature.json"
        ).read_bytes()


@pytest.mark.slow
def test_processes_of_a_killed_server_end_with_it(tmp_path: Path, bundle: Path) -> None:
    """Also in the middle of a job; the server that starts again takes it up at once, not after its lease."""
    with live_service(tmp_path, bundle, workers=1, stage_s=1.0) as service:
        job = service.submit()
        until(lambda: "start second" in service.noted().get(job, []))
        child = psutil.Process(int((service.notes / job).read_text().split()[-1]))
        worker = child.parent()
        service.kill()
        until(lambda: not child.is_running() and not worker.is_running())
        started = time.monotonic()
        service.start()
        client = service.client()
        until(lambda: client.job(job)["attempt"] == 3)
        print(f"a job of a killed server is claimed again after {time.monotonic() - started:.1f} s")
        assert client.wait(job)["state"] == "succeeded"
        assert done_again(service.noted()) == []


@pytest.mark.slow
def test_a_worker_ends_in_time_while_its_server_is_away(tmp_path: Path, bundle: Path) -> None:
    with live_service(tmp_path, bundle, workers=0, stage_s=20.0) as service:
        worker = service.worker("one")
        job = service.submit()
        until(lambda: "start first" in service.noted().get(job, []))
        os.kill(service.server.pid, signal.SIGKILL)
        time.sleep(1.0)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


@pytest.mark.slow
def test_a_worker_with_a_full_disk_takes_no_job(tmp_path: Path, bundle: Path) -> None:
    disk = tmp_path / "full"
    with live_service(tmp_path, bundle, workers=0) as service:
        job = service.submit()
        worker = [*service.worker_program, "worker", "--server", service.url, "--home", str(disk)]
        process = subprocess.Popen(
            on_a_disk(disk, 1, worker),
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SIXFOLD_API_KEY": service.key, "PYTHONUNBUFFERED": "1"},
        )
        service.own_workers.append(process)
        assert process.stderr is not None
        assert "worker.disk_full" in process.stderr.readline()
        assert service.client().job(job)["state"] == "validating"
        process.kill()
        process.stderr.close()
