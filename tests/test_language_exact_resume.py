"""kill -9 of a language model's run in the middle of an epoch, the same command again: the bundle's bytes are
those of a run that nobody killed, in single precision and in bfloat16.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sixfold import pipeline
from sixfold.recipe.load import load
from tiny_language import sentences

RECIPE = """version: 1
name: killed
task: generation
data: {source: texts.jsonl}
build: {family: language, layers: 2, width: 32, heads: 4, kv_heads: 2, context: 32, vocabulary: 300}
train: {epochs: 2, batch_size: 4, precision: PRECISION, average: {ema: 0.99}}
evaluate: {folds: 2}
"""
SAME = (
    "hf/config.json",
    "hf/model.safetensors",
    "hf/tokenizer.json",
    "model.gguf",
    "parity.jsonl.gz",
    "recipe.yaml",
    "signature.json",
)  # the receipt and the report hold measured times


def written(folder: Path, precision: str) -> Path:
    """The recipe's file, beside its texts."""
    texts = [json.dumps({"text": text}) + "\n" for text in sentences(80, words=20)]
    (folder / "texts.jsonl").write_text("".join(texts))
    (folder / "r.yaml").write_text(RECIPE.replace("PRECISION", precision))
    return folder / "r.yaml"


def start(folder: Path, precision: str) -> subprocess.Popen[bytes]:
    written(folder, precision)
    command = ["run", "r.yaml", "--out", "run", "--save-every", "0", "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "sixfold", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def saved_steps(folder: Path) -> set[Path]:
    """Whole checkpoints of trainings in work, one a step."""
    return {
        Path(root)
        for root, _, files in os.walk(folder)
        if "manifest.json" in files and Path(root).name.startswith("step-")
    }


def epochs(folder: Path) -> int:
    """How many were told."""
    lines = (folder / "run" / "events.jsonl").read_bytes().split(b"\n")[:-1]
    return sum(json.loads(line)["event"] == "epoch" for line in lines)


def kill(folder: Path, precision: str, steps: int) -> None:
    """kill -9 once `steps` more steps are saved."""
    child, seen = start(folder, precision), set[Path]()
    before = saved_steps(folder)
    while child.poll() is None:
        seen |= saved_steps(folder) - before
        if len(seen) >= steps:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return
        time.sleep(0.002)
    raise AssertionError(f"the run ended before {steps} steps were seen")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "steps"), [("float32", 2), ("bfloat16", 12)])
def test_killed_within_an_epoch_it_ends_with_the_same_bytes(
    precision: str, steps: int, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    pipeline.run(load(written(whole, precision)), whole / "run", save_every_s=0.0)
    of_training = epochs(whole)
    kill(killed, precision, steps)
    assert epochs(killed) < of_training if steps > 2 else epochs(killed) == 0  # within the first
    assert saved_steps(killed)
    assert start(killed, precision).wait() == 0
    for name in SAME:
        one, other = (folder / "run" / "bundle" / name for folder in (killed, whole))
        assert one.read_bytes() == other.read_bytes(), name
    receipts = [
        json.loads((folder / "run" / "bundle" / "receipt.json").read_text())
        for folder in (killed, whole)
    ]
    assert receipts[0]["quality"] == receipts[1]["quality"]
    assert not saved_steps(killed)
