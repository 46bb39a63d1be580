"""A disk that is full or read-only, for real: a small file system of its own, mounted in a name
space of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forked_commands import sixfold

sys.path.insert(0, str(Path(__file__).parent / "bundle"))
import tiny_bundle

RECIPE = """
version: 1
name: small
data: {source: "sklearn:iris", target: target}
build: [{family: tree, max_depth: 3}, {family: linear}]
evaluate: {folds: 2, metrics: [accuracy]}
"""
RUN = f"{sys.executable} -m sixfold run recipe.yaml --out run --quiet"


def mounted(folder: Path, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a new file system of `size`, which is gone afterwards; skips where none
    may be mounted.
    """
    folder.mkdir()
    enter = f"mount -t tmpfs -o size={size} tmpfs {folder} && cd {folder}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, enter], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    lines = f"{enter} || exit 99\ncat > recipe.yaml <<'END'\n{RECIPE}END\n{script}"
    return subprocess.run([*inside, lines], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["16k", "176k"])
def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path: Path, size: str) -> None:
    done = mounted(
        tmp_path / "disk",
        size,
        f"""
        {RUN} >/dev/null 2>{tmp_path}/told.txt; echo "first $?"
        test -e run/bundle && echo "a bundle"
        mount -o remount,size=64m {tmp_path}/disk
        {RUN}; echo "second $?"
        {sys.executable} -m sixfold verify run/bundle; echo "verify $?"
        find . -name '*.tmp*'
    """,
    )
    assert "first 8" in done.stdout
    told = (tmp_path / "told.txt").read_text()
    assert "No space left on device" in told
    assert "Traceback" not in told + done.stderr
    assert "a bundle" not in done.stdout
    assert "second 0" in done.stdout
    assert "verify 0" in done.stdout
    assert ".tmp" not in done.stdout


@pytest.mark.slow
def test_a_read_only_folder_is_told_and_what_is_finished_stays(tmp_path: Path) -> None:
    done = mounted(
        tmp_path / "disk",
        "64m",
        f"""
        {RUN} >/dev/null 2>&1; echo "first $?"
        mount -o remount,ro {tmp_path}/disk
        {RUN}; echo "second $?"
        {sys.executable} -m sixfold verify run/bundle; echo "verify $?"
    """,
    )
    assert "first 0" in done.stdout
    assert "second 8" in done.stdout
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert "verify 0" in done.stdout


FULL = Path("/dev/full")
TOLD = (
    "sixfold: standard output: expected free disk space; found No space left on device. "
    "Free some space, or write it elsewhere: what the command has finished is kept.\n"
)
VERBS = [
    "--help",
    "--version",
    "run --help",
    "schema",
    "doctor",
    "doctor --json",
    "verify b",
    "verify b --json",
    "inspect b",
    "inspect b --json",
    "inspect b --example",
    "predict b rows.csv",
    "predict b rows.csv --json",
    "check bad.yaml",
    "check bad.yaml --json",
]
TEXTS = [verb for verb in VERBS[:-3] if "--json" not in verb]
SLOW = ["init t.csv --target y", "run recipe.yaml --quiet", "check recipe.yaml"]


def place(folder: Path) -> Path:
    tiny_bundle.make(folder / "b")
    lines = ["size,label,new,since,colour", *(",".join(row.values()) for row in tiny_bundle.ROWS)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 7}.5\n" for i in range(40)))
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "bad.yaml").write_text("version: 2\n")
    return folder


def called(arguments: str, folder: Path, redirect: str) -> subprocess.CompletedProcess[str]:
    """A shell's redirections; the exit code is the command's own."""
    line = f"set -o pipefail; {sys.executable} -m sixfold {arguments} {redirect}"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=folder, check=False
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [*VERBS[-1:], *(pytest.param(a, marks=pytest.mark.slow) for a in VERBS[:-1] + SLOW)],
)
def test_a_full_disk_behind_stdout_is_told(tmp_path: Path, arguments: str) -> None:
    with FULL.open("wb") as full:
        done = sixfold(*arguments.split(), cwd=place(tmp_path), stdout=full.fileno())
    assert done.returncode == 8
    told = done.stderr.decode()
    assert told.endswith(TOLD)
    assert "Traceback" not in told
    assert told.count("sixfold: ") == 1
    if arguments.startswith("run recipe"):
        assert (tmp_path / "runs" / "small" / "bundle").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [*VERBS[-3:-2], *(pytest.param(a, marks=pytest.mark.slow) for a in [*TEXTS, *SLOW[:2]])],
)
def test_a_reader_that_has_gone_ends_it_quietly(tmp_path: Path, arguments: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = sixfold(*arguments.split(), cwd=place(tmp_path), stdout=write)
    os.close(write)
    assert done.returncode == 0
    assert b"rror" not in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_run_does_not_end_with_its_log(tmp_path: Path) -> None:
    done = called("run recipe.yaml", place(tmp_path), "2>/dev/full")
    assert done.returncode == 0
    assert "Bundle: runs/small/bundle" in done.stdout
    assert called("verify none", tmp_path, "2>/dev/full").returncode == 6
    assert called("verify none --json", tmp_path, ">/dev/full 2>/dev/full").returncode == 6
    assert called("verify b", tmp_path, ">&- 2>&-").returncode == 0
    assert called("predict b rows.csv", tmp_path, ">&-").returncode == 0


def test_text_that_the_output_cannot_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "→").mkdir()
    (tmp_path / "→" / "events.jsonl").touch()
    line = f"PYTHONIOENCODING=latin-1 {sys.executable} -m sixfold inspect →"
    told = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert told.returncode == 8
    assert (
        told.stderr
        == "sixfold: standard output: expected text that latin-1 can write; found '\\u2192'. "
        "Set PYTHONIOENCODING=utf-8, or write to a file with --out.\n"
    )
