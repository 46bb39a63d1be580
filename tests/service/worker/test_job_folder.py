"""The folder of a job on a worker's machine, over attempts, kills and other machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.service.worker.job_folder import OWNER, JobFolder

SLEEP = "import time; time.sleep(600)"
PARENT = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["store", "killed", "told"]), max_size=8))
def test_a_folder_is_as_new_as_what_was_told_of_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """A kill may come between writing down what is stored and telling the server: no finished stage goes."""
    folder, tree = JobFolder(tmp_path_factory.mktemp("job")), None
    folder.take(1, None)
    folder.run.mkdir()
    for at, step in enumerate(steps):
        if step != "killed":
            folder.stored(f"tree {at}")
        if step == "told":
            tree = f"tree {at}"
        if step in ("killed", "store"):
            folder.take(at + 2, tree)
        assert folder.run.is_dir()


def test_a_folder_that_another_machine_overtook_goes(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.take(1, None)
    folder.run.mkdir()
    folder.stored("mine")
    folder.take(3, "of another machine")
    assert not folder.run.exists()


def test_an_older_attempts_process_ends(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.take(1, None)
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as child:
        folder.owned(1, child.pid)
        assert not folder.left_alone(-1.0)
        folder.take(2, None)
        assert child.wait() == -signal.SIGKILL


def test_what_outlived_its_parent_ends_too(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.take(1, None)
    command = [sys.executable, "-c", PARENT, SLEEP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        folder.owned(1, parent.pid)
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
    assert orphan.is_running()
    folder.take(2, None)
    psutil.wait_procs([orphan], timeout=10)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.take(1, None)
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as other:
        owner = f'{{"attempt": 1, "pid": {other.pid}, "started": 1.0}}'
        (folder.path / OWNER).write_text(owner)
        folder.take(2, None)
        assert other.poll() is None
        other.kill()


def test_folders_are_left_alone_only_when_they_are_old(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.take(1, None)
    assert not folder.left_alone(60.0)
    os.utime(folder.path / OWNER, (0, time.time() - 61))
    assert folder.left_alone(60.0)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": "1"}', '{"pid": 0}'])
def test_a_damaged_owner_stops_nobody(tmp_path: Path, text: str) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    (folder.path / OWNER).write_text(text)
    folder.take(2, None)
    assert (folder.path / OWNER).read_text().startswith('{"attempt": 2')
