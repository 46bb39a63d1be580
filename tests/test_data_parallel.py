"""Two processes train the networks of a run; kill -9 of one of them within an epoch, the same command again: the bundle's
bytes are those of a run that nobody killed, and no process is left. tests/train/test_rank_training.py has more kinds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from quick_command import quick
from sixfold import pipeline
from sixfold.recipe.load import load
from tiny_language import sentences

BUDGET = "budget: {data_parallel: 2}"
SHARDED = "budget: {data_parallel: 2, strategy: {shard: true}}"
DIGITS = f"""version: 1
name: two
data: {{source: "sklearn:digits", target: target, holdout: 0.2}}
build: {{family: mlp, hidden: [32], dropout: 0.1}}
train: {{epochs: 3, stop: {{patience: 2}}, average: {{ema: 0.99}}}}
evaluate: {{folds: 2, metrics: [accuracy]}}
{BUDGET}
"""
TEXTS = f"""version: 1
name: two
task: generation
data: {{source: texts.jsonl}}
build: {{family: language, layers: 2, width: 32, heads: 4, kv_heads: 2, context: 32, vocabulary: 300}}
train: {{epochs: 2, batch_size: 4, optimizer: adamw}}
evaluate: {{folds: 2}}
{BUDGET}
"""
RECIPES = {"mlp": DIGITS, "sharded": TEXTS.replace(BUDGET, SHARDED)}
SAME = {
    "mlp": ("model.onnx", "signature.json", "recipe.yaml", "parity.jsonl.gz"),
    "sharded": ("hf/config.json", "hf/model.safetensors", "hf/tokenizer.json", "model.gguf"),
}  # the receipt and the report hold measured times
RANK = "sixfold.evaluate.rank_process"
SOON_S = 60.0  # for processes to end that have nothing to wait for; a busy machine takes longer


def written(folder: Path, recipe: str) -> Path:
    """The recipe's file, beside its texts."""
    texts = [json.dumps({"text": text}) + "\n" for text in sentences(48, words=20)]
    (folder / "texts.jsonl").write_text("".join(texts))
    (folder / "r.yaml").write_text(recipe)
    return folder / "r.yaml"


def start(folder: Path, recipe: str) -> subprocess.Popen[bytes]:
    written(folder, recipe)
    command = quick("run", "r.yaml", "--out", "run", "--save-every", "0", "--quiet")
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
        )


def others(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes that train with it."""
    children = psutil.Process(command.pid).children(recursive=True)
    return [one for one in children if RANK in one.cmdline()]


def saved_steps(folder: Path) -> set[Path]:
    """Whole checkpoints of trainings in work, one a step."""
    return {
        Path(root)
        for root, _, files in os.walk(folder)
        if "manifest.json" in files and Path(root).name.startswith("step-")
    }


def kill_within_an_epoch(
    folder: Path, recipe: str, chosen: Callable[[subprocess.Popen[bytes]], int]
) -> tuple[int, list[psutil.Process]]:
    """kill -9 of one of the two once some more steps are saved; the command's exit code, and the other ranks."""
    command, seen = start(folder, recipe), set[Path]()
    before = saved_steps(folder)
    while len(seen) < 5:
        assert command.poll() is None, (folder / "said").read_text()
        seen |= saved_steps(folder) - before
        time.sleep(0.002)
    ranks = others(command)
    assert len(ranks) == 1
    os.kill(chosen(command), signal.SIGKILL)
    return command.wait(), ranks


def both_runs(name: str, folder: Path) -> tuple[Path, Path]:
    """Folders of a run that ended, and of one that will be killed."""
    folders = folder / "whole", folder / "killed"
    for one in folders:
        one.mkdir()
    recipe = written(folders[0], RECIPES[name])
    pipeline.run(load(recipe), folders[0] / "run", save_every_s=0.0)
    return folders


def assert_goes_on(name: str, killed: Path, whole: Path) -> None:
    """With the same bytes, and leaves nothing."""
    assert saved_steps(killed)
    assert start(killed, RECIPES[name]).wait() == 0, (killed / "said").read_text()
    for file in SAME[name]:
        one, other = (folder / "run" / "bundle" / file for folder in (killed, whole))
        assert one.read_bytes() == other.read_bytes(), file
    receipts = [
        json.loads((folder / "run" / "bundle" / "receipt.json").read_text())["quality"]
        for folder in (killed, whole)
    ]
    assert receipts[0] == receipts[1]
    assert not saved_steps(killed)
    assert not list((killed / "run").glob("scratch/ranks-*"))


@pytest.mark.slow
def test_the_command_is_killed(tmp_path: Path) -> None:
    whole, killed = both_runs("mlp", tmp_path)
    code, ranks = kill_within_an_epoch(killed, RECIPES["mlp"], lambda command: command.pid)
    assert code == -signal.SIGKILL
    assert not psutil.wait_procs(ranks, SOON_S)[1]  # whom nobody asks any more ends
    assert_goes_on("mlp", killed, whole)


@pytest.mark.slow
def test_the_other_process_is_killed(tmp_path: Path) -> None:
    whole, killed = both_runs("sharded", tmp_path)
    code, ranks = kill_within_an_epoch(
        killed, RECIPES["sharded"], lambda command: others(command)[0].pid
    )
    assert code == 8
    said = (killed / "said").read_text()
    assert "processes that train together until the end; found one that was killed" in said
    assert "Run the same command again: it goes on from what was saved." in said
    assert not psutil.wait_procs(ranks, SOON_S)[1]
    assert_goes_on("sharded", killed, whole)
