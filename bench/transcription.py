"""Strings of digits, written down: recordings of single digits of one speaker, one after the other with pauses.

`SIXFOLD_BENCH_DIGITS` names a folder of WAV files `DIGIT_SPEAKER_NUMBER.wav`, or a zip file of such. The recordings are
divided first, by chance: no recording is in a string that trains and in one that is scored. Strings are three to seven
words ("seven two nine"); the score is that of the rows that nothing had seen (`data.test`), 1 less the word error rate,
by the model as it is served. Wall time is of the command: one validation set, and the network of all strings again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from bench.pairs import Result, interleaved

DIGITS = "SIXFOLD_BENCH_DIGITS"
GOOD, FAST_S, ONE_S = 0.96, 1_200.0, 0.05
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<number>\d+)\.wav")
RATE, TESTED, PAUSES = 8_000, 0.2, (0.05, 0.25)  # share of the recordings; seconds between two
RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "strings",
    "task": "transcription",
    "data": {"source": "train.csv", "test": "test.csv", "target": "said", "holdout": 0},
    "evaluate": {"scheme": "holdout", "metrics": ["word_error_rate", "character_error_rate"]},
    "report": {"examples": 0},
}
Samples = npt.NDArray[np.int16]
Recordings = dict[str, list[tuple[int, Samples]]]  # speaker → a digit, and how it was said


def measure(
    rounds: int = 3, strings: int = 2_000, epochs: int = 16, size: str = "nano"
) -> Iterator[Result]:
    """Words that are right, time, latency. `strings`: that train; a fifth as many are scored."""
    named = os.environ.get(DIGITS)
    if not named:
        yield Result("strings of digits", "all", absent=f"{DIGITS} does not name the recordings")
        return
    with tempfile.TemporaryDirectory() as place:
        folder, random = Path(place), np.random.default_rng(0)
        train, test = _divided(_read(Path(named)), random)
        _write(folder, "train", train, strings, random)
        _write(folder, "test", test, max(2, strings // 5), random)
        recipe = {**RECIPE, "train": {"epochs": epochs}}
        recipe["build"] = [{"family": "ctc", "size": size, "decode": "beam"}]
        yield from _measured(folder, recipe, f"strings of digits, {strings:,} to train", rounds)


def _measured(folder: Path, recipe: dict[str, Any], name: str, rounds: int) -> Iterator[Result]:
    import sixfold

    whole_s = _run(folder, recipe)
    receipt = json.loads((folder / "run" / "bundle" / "receipt.json").read_text())
    rates = {one["metric"]: one["holdout_after"] for one in receipt["quality"]}
    told = f"characters: {1 - rates['character_error_rate']:.4f}"
    right = 1 - rates["word_error_rate"]
    peer = "the 96% that are asked for"
    yield Result(f"{name}: words right", peer, right, GOOD, "words", told, 0.0)
    peer = "the 20 minutes that are allowed"
    yield Result(f"{name}: wall time", peer, whole_s, FAST_S, "s", "", 1.0, rounds=1)
    bundle = sixfold.load(folder / "run" / "bundle")
    one = [{"audio": next(folder.glob("test_*.wav")).read_bytes()}]
    bundle.predict(one)
    mine, _ = interleaved(lambda: bundle.predict(one), lambda: None, 10 * rounds)
    peer = "the 50 ms that are allowed"
    yield Result(f"{name}: one string", peer, mine, ONE_S, "s", "", 1.0, rounds=10 * rounds)


def _read(source: Path) -> Recordings:
    """All of 8 kHz; of a zip file, too."""
    found: Recordings = {}
    for name, content in sorted(_files(source)):
        matched = NAME.fullmatch(name)
        if matched is None:
            continue
        with wave.open(io.BytesIO(content)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
                continue
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        found.setdefault(matched["speaker"], []).append((int(matched["digit"]), samples))
    return found


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((path.name, path.read_bytes()) for path in source.rglob("*.wav"))
        return
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if name.endswith(".wav"):
                yield Path(name).name, archive.read(name)


def _divided(found: Recordings, random: np.random.Generator) -> tuple[Recordings, Recordings]:
    """Those that train, and those that are scored; of every speaker some of both."""
    train: Recordings = {}
    test: Recordings = {}
    for speaker, own in found.items():
        order = random.permutation(len(own))
        count = max(1, round(TESTED * len(own)))
        test[speaker] = [own[at] for at in order[:count]]
        train[speaker] = [own[at] for at in order[count:]]
    return train, test


def _write(
    folder: Path, name: str, found: Recordings, strings: int, random: np.random.Generator
) -> None:
    """WAV files, and a table of them."""
    speakers = sorted(found)
    with (folder / f"{name}.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["audio", "said"])
        for number in range(strings):
            own = found[speakers[number % len(speakers)]]
            chosen = random.integers(0, len(own), random.integers(3, 8))
            path = folder / f"{name}_{number}.wav"
            path.write_bytes(_joined([own[at][1] for at in chosen], random))
            rows.writerow([path.name, " ".join(NAMES[own[at][0]] for at in chosen)])


def _joined(parts: list[Samples], random: np.random.Generator) -> bytes:
    """A WAV file of some recordings, with a pause behind each."""
    whole: list[Samples] = []
    for part in parts:
        pause = round(RATE * random.uniform(*PAUSES))
        whole += [part, np.zeros(pause, dtype="<i2")]
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.concatenate(whole).astype("<i2").tobytes())
    return stream.getvalue()


def _run(folder: Path, recipe: dict[str, Any]) -> float:
    (folder / "strings.yaml").write_text(yaml.safe_dump(recipe))
    started = time.perf_counter()
    command = [sys.executable, "-m", "sixfold", "run", "strings.yaml", "--out", "run", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started
