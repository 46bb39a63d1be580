"""A disk that is full or read-only, for real: a small file system of its own, mounted in a name space of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
version: 1
name: small
data: {source: "sklearn:iris", target: target}
build: [{family: tree, max_depth: 3}, {family: linear}]
evaluate: {folds: 2, metrics: [accuracy]}
"""
RUN = f"{sys.executable} -m sixfold run recipe.yaml --out run --quiet"


def mounted(folder: Path, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a new file system of `size`, which is gone afterwards; skips where none may be mounted."""
    folder.mkdir()
    enter = f"mount -t tmpfs -o size={size} tmpfs {folder} && cd {folder}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, enter], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    lines = f"{enter} || exit 99\ncat > recipe.yaml <<'END'\n{RECIPE}END\n{script}"
    return subprocess.run([*inside, lines], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size", ["16k", "96k", "176k"])
def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path: Path, size: str) -> None:
    done = mounted(tmp_path / "disk", size, f"""
        {RUN} >/dev/null 2>{tmp_path}/told.txt; echo "first $?"
        test -e run/bundle && echo "a bundle"
        mount -o remount,size=64m {tmp_path}/disk
        {RUN}; echo "second $?"
        {sys.executable} -m sixfold verify run/bundle; echo "verify $?"
        find . -name '*.tmp*'
    """)  # fmt: skip
    assert "first 8" in done.stdout
    told = (tmp_path / "told.txt").read_text()
    assert "No space left on device" in told
    assert "Traceback" not in told + done.stderr
    assert "a bundle" not in done.stdout
    assert "second 0" in done.stdout
    assert "verify 0" in done.stdout
    assert ".tmp" not in done.stdout


def test_a_read_only_folder_is_told_and_what_is_finished_stays(tmp_path: Path) -> None:
    done = mounted(tmp_path / "disk", "64m", f"""
        {RUN} >/dev/null 2>&1; echo "first $?"
        mount -o remount,ro {tmp_path}/disk
        {RUN}; echo "second $?"
        {sys.executable} -m sixfold verify run/bundle; echo "verify $?"
    """)  # fmt: skip
    assert "first 0" in done.stdout
    assert "second 8" in done.stdout
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert "verify 0" in done.stdout
