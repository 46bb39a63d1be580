"""A stage is whole or absent; a finished one is never done again; the stream of events survives a
kill.
"""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sixfold.core.errors import SystemFault
from sixfold.runs import environment, events
from sixfold.runs.folder import RunFolder
from sixfold.runs.sealed import problem_of


def staged(folder: RunFolder, name: str, key: str, work: Any) -> Path:
    """Stage `name`: `work` writes into its folder, where it is not finished."""
    with folder.stage(name, key) as place:
        if place.aside is not None:
            work(place.aside)
    return place.folder


def write_hello(folder: Path) -> None:
    (folder / "hello.txt").write_text("hello")
    (folder / "deep").mkdir()
    (folder / "deep" / "more.bin").write_bytes(b"\x00" * 1000)


def kinds(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (path / "events.jsonl").read_text().splitlines()]


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    for _ in range(2):
        with RunFolder(tmp_path) as folder:
            done = staged(folder, "data", "key", write_hello)
    assert (done / "hello.txt").read_text() == "hello"
    assert kinds(tmp_path) == ["stage_started", "stage_finished", "stage_skipped"]


def test_what_a_stage_saved_goes_even_if_a_kill_came_between(tmp_path: Path) -> None:
    """Between the rename that makes the stage whole and the removal of what it saved on the way."""
    left = tmp_path / "run" / "fit.saved" / "key"
    with RunFolder(tmp_path / "run") as folder:
        staged(folder, "fit", "key", lambda aside: None)
        left.mkdir(parents=True)
    with RunFolder(tmp_path / "run") as folder:
        staged(folder, "fit", "key", lambda aside: pytest.fail("done again"))
    assert not left.parent.exists()


def test_another_key_does_the_stage_again(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        staged(folder, "data", "old", write_hello)
        staged(folder, "data", "new", lambda path: (path / "other.txt").write_text("x") and None)
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["manifest.json", "other.txt"]


def test_an_event_is_one_line_whatever_it_says(tmp_path: Path) -> None:
    notes = [
        {"text": 'a\u2028b\x85\r\n"é', "loss": 1e-300, "best": None},
        {"text": "half a character: \udcff"},
        {"loss": float("inf")},
    ]
    with RunFolder(tmp_path) as folder:
        for facts in notes:
            folder.emit("note", facts)
        found = list(folder.history())
    assert (tmp_path / "events.jsonl").read_bytes().count(b"\n") == 3
    notes[2]["loss"] = None  # JSON has no infinity
    assert [
        {name: event[name] for name in facts} for event, facts in zip(found, notes, strict=True)
    ] == notes


@pytest.mark.parametrize("how", ["truncate", "flip", "remove", "manifest"])
def test_a_damaged_stage_is_found_and_done_again_with_a_warning(tmp_path: Path, how: str) -> None:
    with RunFolder(tmp_path) as folder:
        done = staged(folder, "data", "key", write_hello)
    victim = done / "deep" / "more.bin"
    if how == "truncate":
        victim.write_bytes(b"\x00" * 999)
    elif how == "flip":
        victim.write_bytes(b"\x00" * 500 + b"\x01" + b"\x00" * 499)
    elif how == "remove":
        victim.unlink()
    else:
        (done / "manifest.json").write_text("{")
    assert problem_of(done)
    with RunFolder(tmp_path) as folder:
        staged(folder, "data", "key", write_hello)
    assert problem_of(done) == ""
    assert kinds(tmp_path)[2:] == ["warning", "stage_started", "stage_finished"]


def test_a_failing_stage_leaves_no_stage(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        write_hello(path)
        raise KeyError("boom")

    with RunFolder(tmp_path) as folder:
        with pytest.raises(KeyError):
            staged(folder, "data", "key", fail)
        assert not (tmp_path / "data").exists()
        staged(folder, "data", "key", write_hello)


def test_half_a_line_at_the_end_of_the_events_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(
        events.line({"event": "note", "time": 1}) + b'{"event": "epo'
    )
    with RunFolder(tmp_path) as folder:
        folder.emit("note", {"text": "again"})
        assert [event["event"] for event in folder.history()] == ["note", "note"]


def test_listeners_hear_every_event(tmp_path: Path) -> None:
    heard: list[str] = []
    with RunFolder(tmp_path, [lambda event: heard.append(event["event"])]) as folder:
        staged(folder, "data", "key", write_hello)
    assert heard == kinds(tmp_path)


def test_a_read_only_place_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(
        SystemFault, match="expected a file that can be written; found Not a directory"
    ):
        RunFolder(blocker / "run").__enter__()
    if os.getuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(SystemFault, match="expected a writable folder"):
            RunFolder(tmp_path / "run").__enter__()


def test_a_full_disk_is_said_and_nothing_is_lost() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    from sixfold.core.paths import system_fault

    try:
        with full.open("w") as file:
            file.write("x")
    except OSError as error:
        assert str(system_fault(full, error)) == (
            "/dev/full: expected free disk space; found No space left on device. "
            "Free some space and run the same command: finished stages are kept."
        )


def stages_forever(path: Path) -> None:
    with RunFolder(path) as folder:
        for number in range(10_000):
            staged(folder, f"stage{number}", "key", write_hello)


def json_lines(path: Path) -> int:
    """Events so far, whole lines only."""
    events = path / "events.jsonl"
    return events.read_bytes().count(b"\n") if events.exists() else 0


@pytest.mark.slow
def test_kills_at_random_moments_leave_only_whole_stages(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(12):
        child = multiprocessing.get_context("spawn").Process(
            target=stages_forever, args=(tmp_path,)
        )
        child.start()
        seen = json_lines(tmp_path)
        while (
            json_lines(tmp_path) <= seen + 2 and child.is_alive()
        ):  # it has begun, however slow the machine is
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        finished = [p for p in tmp_path.glob("stage*") if not p.name.endswith(".tmp")]
        assert finished
        assert [problem_of(p) for p in finished] == [""] * len(finished)
        with RunFolder(tmp_path) as folder:
            assert all(event["event"] for event in folder.history())


TAKE = "import sys, pathlib, sixfold.runs.folder as f; f.RunFolder(pathlib.Path(sys.argv[1])).__enter__()"


def refused(path: Path) -> str:
    """What another process is told that wants the folder."""
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(path)], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


@pytest.mark.parametrize("how", ["left", "removed", "replaced"])
def test_the_folder_itself_is_locked_whatever_becomes_of_the_lock_file(
    tmp_path: Path, how: str
) -> None:
    with RunFolder(tmp_path):
        if how != "left":
            (tmp_path / ".lock").unlink()
        if how == "replaced":
            (tmp_path / ".lock").touch()
        told = refused(tmp_path)
    assert "found another process at work in it" in told
    assert f"(process {os.getpid()})" in told or not Path("/proc/locks").exists()
    assert refused(tmp_path) == ""


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_run_whose_folder_is_gone_does_not_begin_another_one(tmp_path: Path, how: str) -> None:
    """The new folder of this name may be another run's."""
    path = tmp_path / "run"

    def work(aside: Path) -> None:
        write_hello(aside)
        path.rename(tmp_path / "elsewhere")
        if how == "replaced":
            path.mkdir()

    with RunFolder(path) as folder:
        saved = folder.saves("data", "key")
        if how == "removed":
            shutil.rmtree(path)
        else:
            with pytest.raises(
                SystemFault, match="expected the folder in which the run began; found"
            ):
                staged(folder, "data", "key", work)
        with pytest.raises(SystemFault, match="expected the folder in which the run began; found"):
            staged(folder, "more", "key", write_hello)
        with pytest.raises(SystemFault, match="Move it back and run the same command again"):
            saved.keep("piece", write_hello)
    assert list(path.iterdir()) == [] if how == "replaced" else not path.exists()


def test_where_folders_cannot_be_locked_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which answers EBADF for what is not open for writing."""
    real = fcntl.flock

    def flock(handle: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with RunFolder(tmp_path):
        assert "another process at work" in refused(tmp_path)


def test_two_runs_at_the_same_moment(tmp_path: Path) -> None:
    """Four processes want a folder that is not there yet: one gets it."""
    code = TAKE + "; print('mine', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(4)
    ]
    first = [child.stdout.readline() for child in children if child.stdout is not None]
    for child in children:
        child.communicate()
    assert sorted(first) == [b""] * 3 + [b"mine\n"]


def test_a_run_that_goes_on_elsewhere_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in environment.SETTINGS:  # some machines have them set
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        with RunFolder(tmp_path) as folder:
            environment.tell(folder)
    assert kinds(tmp_path) == ["environment"]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setattr(environment, "_version", lambda name: "9.9")
    with RunFolder(tmp_path) as folder:
        environment.tell(folder)
        warning = list(folder.history())[-1]
    assert kinds(tmp_path) == ["environment", "environment", "warning"]
    assert "OPENBLAS_CORETYPE Prescott, before None" in warning["text"]
    assert "numpy 9.9, before" in warning["text"]
