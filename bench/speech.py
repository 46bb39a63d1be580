"""Recordings in, a small model that hears digits out: spoken digits, by chance and by speaker.

`SIXFOLD_BENCH_DIGITS` names a folder of WAV files `DIGIT_SPEAKER_NUMBER.wav`, or a zip file of such.
Wall time is of the command, from the files to the bundle: five folds, and the network of all
recordings again. The second recipe differs in its folds: each speaker is validated by a model that
has not heard them. The third adds `compress` to the first: the same run folder, so nothing is
trained twice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.pairs import Result, interleaved

DIGITS = "SIXFOLD_BENCH_DIGITS"
FOLDS = 5
GOOD, GOOD_UNHEARD, FAST_S, SMALL, ONE_S = 0.985, 0.85, 300.0, 500_000, 0.005
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<number>\d+)\.wav")
RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "digits",
    "data": {"source": "digits", "target": "label", "holdout": 0},
    "build": [{"family": "audio_cnn"}],
    "evaluate": {"metrics": ["accuracy"]},
    "report": {"examples": 0},
}
GROUPED = {"group": "audio", "group_pattern": r"^\d_(?P<group>[a-z]+)_"}
COMPRESS = {
    "keep": {"accuracy": -0.005},
    "prune": {"target": "channels", "ratio": 0.5, "epochs": 8},
    "quantize": {"activations": "static"},
}


def measure(rounds: int = 3, recordings: int = 10_000, epochs: int = 30) -> Iterator[Result]:
    """Scores, time, bytes, latency. `recordings`: at most so many, evenly chosen."""
    named = os.environ.get(DIGITS)
    if not named:
        yield Result("spoken digits", "all", absent=f"{DIGITS} does not name the recordings")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = _sorted_into_classes(Path(named), folder, recordings)
        evaluate = {**RECIPE["evaluate"], "folds": FOLDS}
        recipe = {**RECIPE, "train": {"epochs": epochs}, "evaluate": evaluate}
        yield from _plain(folder, recipe, f"spoken digits, {count:,} recordings")
        yield from _by_speaker(folder, recipe, f"spoken digits, {count:,} recordings")
        yield from _small(folder, recipe, f"spoken digits, {count:,} recordings", rounds)


def _plain(folder: Path, recipe: dict[str, Any], name: str) -> Iterator[Result]:
    whole_s = _run(folder, recipe, "run")
    score, spread = _score(folder / "run")
    peer = "the 98.5% that are asked for"
    yield Result(f"{name}: five folds", peer, score, GOOD, "accuracy", f"folds: {spread}", 0.0)
    peer = "the 5 minutes that are asked for"
    yield Result(f"{name}: wall time", peer, whole_s, FAST_S, "s", "", 1.0, rounds=1)


def _by_speaker(folder: Path, recipe: dict[str, Any], name: str) -> Iterator[Result]:
    speakers = {NAME.fullmatch(path.name)["speaker"] for path in folder.rglob("*.wav")}  # type: ignore[index]
    evaluate = {**recipe["evaluate"], "folds": len(speakers)}
    data = {**recipe["data"], **GROUPED}
    _run(folder, {**recipe, "data": data, "evaluate": evaluate}, "grouped")
    score, spread = _score(folder / "grouped")
    name, peer = f"{name}: each speaker unheard", "the 85% that are asked for"
    yield Result(name, peer, score, GOOD_UNHEARD, "accuracy", f"speakers: {spread}", 0.0)


def _small(folder: Path, recipe: dict[str, Any], name: str, rounds: int) -> Iterator[Result]:
    import sixfold

    _run(folder, {**recipe, "compress": COMPRESS}, "run")
    bundle = sixfold.load(folder / "run" / "bundle")
    told = "; ".join(
        f"{one.name}: {'accepted' if one.accepted else 'refused'}" for one in bundle.receipt.steps
    )
    score = float(np.mean(bundle.receipt.quality[0].folds_after or ()))
    name = f"{name}, half of the multiply-adds, int8"
    yield Result(
        f"{name}: five folds", "the 98.5% that are asked for", score, GOOD, "accuracy", told, 0.0
    )
    stored = sum(path.stat().st_size for path in bundle.path.iterdir())
    yield Result(
        f"{name}: bytes on disk",
        "the 500 kB that are asked for",
        stored,
        SMALL,
        "B",
        "",
        1.0,
        rounds=1,
    )
    one = [{"audio": next((folder / "digits").rglob("*.wav")).read_bytes()}]
    bundle.predict(one)
    mine, _ = interleaved(lambda: bundle.predict(one), lambda: None, 50 * rounds)
    yield Result(
        f"{name}: one recording",
        "the 5 ms that are asked for",
        mine,
        ONE_S,
        "s",
        "",
        1.0,
        rounds=50 * rounds,
    )


def _sorted_into_classes(source: Path, folder: Path, most: int) -> int:
    """Copies of the recordings, a folder a digit; how many."""
    if source.is_file():
        with zipfile.ZipFile(source) as archive:
            archive.extractall(folder / "unpacked")
        source = folder / "unpacked"
    paths = sorted(path for path in source.rglob("*.wav") if NAME.fullmatch(path.name))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))
    for number in chosen:
        target = folder / "digits" / paths[number].name[0] / paths[number].name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[number], target)
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    return len(chosen)


def _run(folder: Path, recipe: dict[str, Any], out: str) -> float:
    (folder / "digits.yaml").write_text(yaml.safe_dump(recipe))
    started = time.perf_counter()
    command = [sys.executable, "-m", "sixfold", "run", "digits.yaml", "--out", out, "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def _score(run: Path) -> tuple[float, str]:
    """Mean accuracy over the folds, and that of each."""
    receipt = json.loads((run / "bundle" / "receipt.json").read_text())
    (quality,) = [one for one in receipt["quality"] if one["metric"] == "accuracy"]
    folds = quality["folds_before"]
    return float(np.mean(folds)), ", ".join(f"{score:.3f}" for score in folds)
