"""Damage of what a stage saved: cut short, a flipped bit, a missing file, a kill while saving: seen
every time.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sixfold.runs.folder import RunFolder
from sixfold.runs.saves import Checkpoints

CONTENT = bytes(range(256)) * 40


def saves(folder: Path, notes: list[str], key: str = "k") -> Checkpoints:
    return Checkpoints(folder, key, lambda kind, facts: notes.append(facts["text"]), every_s=0.0)


def write(step: int) -> object:
    def into(folder: Path) -> None:
        (folder / "state.json").write_text(f'{{"step": {step}}}')
        (folder / "state.safetensors").write_bytes(CONTENT)

    return into


def two_states(folder: Path) -> Checkpoints:
    made = saves(folder, [])
    for step in (1, 2, 3):
        made.save("training-1", step, write(step))  # type: ignore[arg-type]
    return made


def step_of(state: Path | None) -> int:
    assert state is not None
    return int(state.name.removeprefix("step-"))


def test_the_newest_is_found_and_two_are_kept(tmp_path: Path) -> None:
    made = two_states(tmp_path)
    assert [path.name for path in sorted((tmp_path / "training-1").iterdir())] == [
        "step-000000000002",
        "step-000000000003",
    ]
    assert step_of(made.newest("training-1")) == 3
    assert made.newest("training-2") is None


def damaged(data: bytes, rng: random.Random, flip: bool) -> bytes:
    if not flip:
        return data[: rng.randrange(len(data))]
    bit = rng.randrange(8 * len(data))
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


@pytest.mark.parametrize(("count", "flip"), [(100, False), (200, True)])
def test_every_cut_and_every_flipped_bit_is_seen(tmp_path: Path, count: int, flip: bool) -> None:
    """100 truncations and 200 flipped bits, in any file of the newest state, its manifest too: the
    older one is used.

    A flipped bit in the manifest may leave its meaning as it was (a space that became a tab): then
    the files are whole.
    """
    two_states(tmp_path / "plain")
    rng = random.Random(0)
    for number in range(count):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "plain", folder)
        file = rng.choice(sorted((folder / "training-1" / "step-000000000003").iterdir()))
        file.write_bytes(damaged(file.read_bytes(), rng, flip))
        notes: list[str] = []
        found = saves(folder, notes).newest("training-1")
        if step_of(found) == 3:
            assert file.name == "manifest.json"
            assert flip
            assert (found / "state.safetensors").read_bytes() == CONTENT  # type: ignore[operator]
        else:
            assert step_of(found) == 2


@pytest.mark.parametrize("name", ["state.json", "state.safetensors", "manifest.json"])
def test_a_missing_file_is_seen(tmp_path: Path, name: str) -> None:
    two_states(tmp_path)
    (tmp_path / "training-1" / "step-000000000003" / name).unlink()
    notes: list[str] = []
    assert step_of(saves(tmp_path, notes).newest("training-1")) == 2
    assert notes[0].startswith("training-1/step-000000000003: ")
    assert notes[0].endswith("; an older state is used")


def test_what_another_recipe_saved_is_not_used_and_goes(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as run:
        first = run.saves("refit", "a" * 64)
        first.save("training-1", 1, write(1))  # type: ignore[arg-type]
        assert run.saves("refit", "b" * 64).newest("training-1") is None
        assert not first.folder.exists()


def test_a_finished_stage_leaves_nothing_saved(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as run:
        kept = run.saves("refit", "k")
        kept.keep("folds-0", write(1))  # type: ignore[arg-type]
        assert kept.piece("folds-0") is not None
        staged(run, "refit", "k", lambda folder: (folder / "x").write_text("x"))  # type: ignore[arg-type,return-value]
        assert not (tmp_path / "run" / "refit.saved").exists()


CHILD = """
import sys, itertools
from pathlib import Path
from sixfold.runs.saves import Checkpoints
made = Checkpoints(Path(sys.argv[1]), "k", lambda kind, facts: None, every_s=0.0)
def write(folder):
    (folder / "state.json").write_text('{"step": %d}' % step)
    (folder / "state.safetensors").write_bytes(bytes(range(256)) * 4000)
start = int(sys.argv[2])
for step in itertools.count(start):
    made.save("training-1", step, write)
    if step == start:
        print("ready", flush=True)
"""


def staged(folder: RunFolder, name: str, key: str, work: Any) -> Path:
    """Stage `name`: `work` writes into its folder, where it is not finished."""
    with folder.stage(name, key) as place:
        if place.aside is not None:
            work(place.aside)
    return place.folder


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_while_saving_a_whole_state_is_left(tmp_path: Path, kills: int) -> None:
    rng, newest = random.Random(1), 0
    for _ in range(kills):
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(newest + 1)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        notes: list[str] = []
        found = saves(tmp_path, notes).newest("training-1")
        assert notes == []
        assert step_of(found) > newest  # the child had saved once before it was killed
        assert (found / "state.json").read_text() == f'{{"step": {step_of(found)}}}'  # type: ignore[operator]
        newest = step_of(found)
