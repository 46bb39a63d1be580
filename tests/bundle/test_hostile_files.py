"""Files that a stranger made and sealed: `verify` refuses each in bounded memory and time, in four
parts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hostile_files
import pytest
import tiny_bundle

from sixfold.bundle import manifest

MOST_BYTES = 200 << 20  # that a process may grow by
MOST_SECONDS = 30.0  # on a busy machine; 10 on a quiet one
AT_ONCE = 512 << 20  # bytes of sealed bundles on the disk
HONEST = {
    "a curve",
    "curves",
    "a verdict",
}  # of a report: nothing is wrong with them but, perhaps, their size


def asked(folders: Sequence[Path], honest: Path) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("measured_verify.py")
    command = [sys.executable, str(script), str(honest), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def look(tmp_path: Path, size: int, step: int = 1) -> list[tuple[str, str, dict[str, Any]]]:
    """What was said of every variant; some at a time, as they take room on the disk."""
    honest = tiny_bundle.make(tmp_path / "honest")
    whole = manifest.read(honest).files
    found: list[tuple[str, str, dict[str, Any]]] = []
    every = list(hostile_files.variants(size))[::step]
    at_once = max(1, min(len(every), AT_ONCE // (size + 200_000)))
    for start in range(0, len(every), at_once):
        some = every[start : start + at_once]
        folders = [
            hostile_files.seal(tmp_path / "sealed" / str(number), whole, file, content)
            for number, (file, _, content) in enumerate(some)
        ]
        answers = asked(folders, honest)
        found += [
            (file, name, answer) for (file, name, _), answer in zip(some, answers, strict=True)
        ]
        shutil.rmtree(tmp_path / "sealed")
    return found


def check(found: Sequence[tuple[str, str, dict[str, Any]]], least: int) -> None:
    assert len(found) >= least
    for file, name, answer in found:
        said = answer["said"]
        if said == "accepted" and file == "report.json" and name in HONEST:
            continue
        assert said != "accepted", (file, name)
        assert not said.startswith(("not a BundleError", "died")), (file, name, said)
        assert ": expected " in said, (file, name, said)
        assert "; found " in said, (file, name, said)
        assert len(said) < 1500, (file, name, len(said))
    heaviest = max(found, key=lambda each: float(each[2]["grown_bytes"]))
    slowest = max(found, key=lambda each: float(each[2]["seconds"]))
    print(
        f"{len(found)} files; largest growth {heaviest[2]['grown_bytes'] >> 20} MB ({heaviest[:2]}), ",
        end="",
    )
    print(f"longest {slowest[2]['seconds']:.1f} s ({slowest[:2]})")
    assert heaviest[2]["grown_bytes"] < MOST_BYTES, heaviest
    assert slowest[2]["seconds"] < MOST_SECONDS, slowest


def test_small_hostile_files_are_refused(tmp_path: Path) -> None:
    check(look(tmp_path, 20_000, step=4), least=40)


@pytest.mark.slow
def test_large_hostile_files_take_bounded_memory_and_time(tmp_path: Path) -> None:
    check(look(tmp_path, 24 << 20, step=5), least=25)


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    honest = tiny_bundle.make(tmp_path / "honest")
    whole = manifest.read(honest).files
    names = [*manifest.LARGEST]
    folders = [hostile_files.oversized(tmp_path / name, whole, name, 1 << 38) for name in names]
    for name, answer in zip(names, asked(folders, honest), strict=True):
        assert (
            f"{name}: expected at most {manifest.LARGEST[name]} bytes; found {1 << 38} bytes"
            in answer["said"]
        )
        assert answer["grown_bytes"] < 10 << 20
