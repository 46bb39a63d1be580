"""kill -9 at any moment of a run, the same command again: the model's bytes are those of a run that
nobody killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from quick_command import quick
from sixfold import pipeline
from sixfold.recipe.load import load

RECIPE = """version: 1
name: killed
data: {source: "sklearn:digits", target: target, holdout: 0.2}
build:
  - {family: mlp, hidden: [32], dropout: 0.1}
  - {family: tree}
  - {family: svm, C: [1, 3], sample: 300}
train: {optimizer: [adam, {name: sgd, momentum: 0.9, learning_rate: auto}], epochs: 8, stop: {patience: 3}, average: {ema: 0.99}}
evaluate: {folds: 3, metrics: [accuracy]}
compress: {keep: {accuracy: -0.05}, prune: {target: neurons, epochs: 2}, fixed_point: {factor: 256}}
"""
SAME = (
    "model.onnx",
    "signature.json",
    "recipe.yaml",
    "parity.jsonl.gz",
)  # the receipt and the report hold measured times


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    (folder / "r.yaml").write_text(RECIPE)
    command = quick("run", "r.yaml", "--out", out, "--save-every", "0", "--quiet")
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By this process, as nobody kills it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "r.yaml").write_text(RECIPE)
    return pipeline.run(load(folder / "r.yaml"), folder / "run", save_every_s=0.0).folder


def sealed(folder: Path) -> set[str]:
    """Every state, fold and stage that is whole; what goes while it is looked at is passed over."""
    return {root for root, _, files in os.walk(folder) if "manifest.json" in files}


def kill_when_saved(folder: Path, after: int) -> bool:
    """kill -9 once `after` more states or folds are saved; False when the run ended before."""
    child = start(folder, "run")
    seen: set[str] = set()
    before = sealed(folder / "run")
    while child.poll() is None:
        seen |= sealed(folder / "run") - before
        if len(seen) >= after:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return True
        time.sleep(0.002)
    return False


def assert_same(folder: Path, whole: Path) -> None:
    for name in SAME:
        assert (folder / "bundle" / name).read_bytes() == (whole / "bundle" / name).read_bytes(), (
            name
        )
    one, other = (
        json.loads((run / "bundle" / "receipt.json").read_text()) for run in (folder, whole)
    )
    assert one["quality"] == other["quality"]
    assert not list(folder.glob("*.saved"))


@pytest.mark.slow
def test_killed_at_its_save_points_it_ends_with_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    """First step, mid-epoch, between stages; one kill after the other, in one run."""
    kills = [kill_when_saved(tmp_path, after) for after in (1, 7, 40)]
    assert kills[0]
    assert start(tmp_path, "run").wait() == 0
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("SIXFOLD_KILLED_RUNS", "1"))))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, whole: Path, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        child = start(tmp_path, "run")
        try:
            assert child.wait(timeout=rng.uniform(2.0, 10.0)) == 0
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert start(tmp_path, "run").wait() == 0
    assert_same(tmp_path / "run", whole)
