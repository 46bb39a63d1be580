"""From a table to a model that answers: Sixfold with `build: auto` beside AutoGluon, FLAML and
scikit-learn's boosting.

Two cores and 60 s for each (scikit-learn has no budget and takes what it takes), the same rows to
train on and the same held-out rows to score; wall time is from the CSV to the stored model, for
Sixfold with the start of its command. One run each: what is interleaved is the latency of one row,
through each one's public `predict`, loaded and warm.

Scores have to be within 0.3 points of the best peer: a row a peer. Bytes are those of Sixfold's
whole bundle with its report and receipt, of AutoGluon's folder, of the others' pickles. AutoGluon
is measured twice: as `fit` and `load` leave it, and as its documentation advises for production.
Sixfold takes its one row as a dict, the others as a frame.

Adult is not bundled with anything: `SIXFOLD_BENCH_ADULT` names the folder of its two files
(docs/how-to/adult-census.md).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from bench.child import ROOT, Child, Refused, child
from bench.pairs import ROUNDS, Absent, Result, need

ADULT = "SIXFOLD_BENCH_ADULT"
AUTOGLUON = ROOT / ".venv-autogluon" / "bin" / "python"
PEERS = {
    "autogluon": "AutoGluon, medium quality",
    "flaml": "FLAML",
    "scikit-learn": "scikit-learn, histogram boosting",
}
AT_BEST = ", cloned for deployment and held in memory"
CLOSE, SMALLER, QUICKER, CALLS = -0.3, 50.0, 200.0, 20


@dataclass(frozen=True)
class Task:
    """Files of rows to train on and of held-out rows."""

    name: str
    train: Path
    test: Path
    target: str
    classes: bool

    @property
    def metric(self) -> str:
        """What is scored."""
        return "accuracy" if self.classes else "R²"

    def score(self, answers: list[Any]) -> float:
        """Of the answers for the held-out rows."""
        truth = pd.read_csv(self.test, skipinitialspace=True)[self.target]
        if self.classes:
            return sum(_plain(a) == _plain(b) for a, b in zip(answers, truth, strict=True)) / len(
                truth
            )
        return float(r2_score(truth, answers))


@dataclass(frozen=True)
class Made:
    """What one maker made of a task."""

    child: Child
    wall_s: float
    stored: dict[str, int]
    score: float


def measure(
    tasks: Sequence[str] = ("adult", "breast cancer", "digits", "diabetes"),
    seconds: float = 60,
    rounds: int = ROUNDS,
    peers: Sequence[str] = tuple(PEERS),
    rows: int | None = None,
) -> Iterator[Result]:
    """Score, bytes, latency and wall time of every task and peer. `rows`: train on so many only."""
    for name in tasks:
        with tempfile.TemporaryDirectory() as place:
            try:
                task = task_of(name, Path(place), rows)
            except Absent as error:
                yield Result(name, "all", absent=str(error))
                continue
            yield from _of(task, Path(place), seconds, rounds, peers)


def task_of(name: str, place: Path, rows: int | None = None) -> Task:
    """Its files, written into `place`. Raises Absent."""
    if name == "adult":
        folder = os.environ.get(ADULT)
        if not folder:
            raise Absent(
                f"{ADULT} does not name the folder of adult_train.csv.gz and adult_test.csv.gz"
            )
        whole = [Path(folder) / f"adult_{part}.csv.gz" for part in ("train", "test")]
        frames, target = (
            [pd.read_csv(path, dtype=str, keep_default_na=False) for path in whole],
            "income",
        )
    else:
        loaders: dict[str, Callable[..., Any]] = {
            "breast cancer": load_breast_cancer,
            "digits": load_digits,
            "diabetes": load_diabetes,
        }
        frame, target = loaders[name](as_frame=True).frame, "target"
        classes = None if name == "diabetes" else frame[target]
        frames = list(train_test_split(frame, test_size=0.25, random_state=0, stratify=classes))
    frames[0] = frames[0].head(rows) if rows else frames[0]
    for part, frame in zip(("train", "test"), frames, strict=True):
        frame.to_csv(place / f"{part}.csv", index=False)
    title = f"{name}, {len(frames[0]):,} rows, {len(frames[1]):,} held out"
    return Task(title, place / "train.csv", place / "test.csv", target, name != "diabetes")


def _of(
    task: Task, place: Path, seconds: float, rounds: int, peers: Sequence[str]
) -> Iterator[Result]:
    with ExitStack() as stack:
        try:
            ours = make("sixfold", task, place, Asked(seconds), stack)
        except Refused as error:
            yield Result(task.name, "all", absent=f"Sixfold failed: {error}", failed=True)
            return
        for name in peers:
            try:
                made = make(name, task, place, Asked(seconds), stack)
            except Absent as error:
                yield Result(task.name, PEERS[name], absent=str(error))
            except Refused as error:
                yield Result(task.name, PEERS[name], absent=f"failed: {error}", failed=True)
            else:
                yield from _rows(task, name, ours, made, rounds)


@dataclass(frozen=True)
class Asked:
    """Seconds for each maker, and further keys of Sixfold's budget."""

    seconds: float
    limits: Mapping[str, str] = field(default_factory=dict)


def make(name: str, task: Task, place: Path, asked: Asked, stack: ExitStack) -> Made:
    """Fit and score, by a process that lives as long as `stack`. Raises Absent, Refused."""
    python = sys.executable
    if name == "autogluon":
        python = str(AUTOGLUON)
        if not AUTOGLUON.exists():
            raise Absent("no .venv-autogluon here: `make bench` installs it")
    else:
        need({"scikit-learn": "sklearn"}.get(name, name))
    one = stack.enter_context(child("bench.peers.automl", name, python=python))
    found = one.ask(
        do="fit",
        train=str(task.train),
        target=task.target,
        classes=task.classes,
        seconds=asked.seconds,
        limits=dict(asked.limits),
        out=str(place / name),
    )
    wall_s = found.pop("seconds")
    return Made(
        one, wall_s, found, task.score(one.ask(do="predict", rows=str(task.test))["answers"])
    )


def _rows(task: Task, name: str, ours: Made, theirs: Made, rounds: int) -> Iterator[Result]:
    """Score, bytes, one row, wall time; of AutoGluon bytes and one row at its best, too."""
    peer, goals = PEERS[name], name == "autogluon"
    yield Result(
        f"{task.name}: score", peer, ours.score, theirs.score, task.metric, target=CLOSE, rounds=1
    )
    for key, suffix in (("bytes", ""), ("bytes at best", AT_BEST)):
        if key in theirs.stored:
            target = SMALLER if goals and not suffix else None
            quality = (
                f"ours {_said(ours.stored)}; theirs {_said(theirs.stored)}" if not suffix else ""
            )
            sizes = ours.stored["bytes"], theirs.stored[key]
            yield Result(
                f"{task.name}: bytes on disk", peer + suffix, *sizes, "B", quality, target, rounds=1
            )
    for at_best in (False, True) if goals else (False,):
        seconds = _one_row(task, ours.child, theirs.child, rounds, at_best)
        target = QUICKER if goals and not at_best else None
        yield Result(
            f"{task.name}: one row",
            peer + AT_BEST * at_best,
            *seconds,
            target=target,
            rounds=rounds,
        )
    yield Result(f"{task.name}: wall time", peer, ours.wall_s, theirs.wall_s, rounds=1)


def _one_row(
    task: Task, ours: Child, theirs: Child, rounds: int, at_best: bool
) -> tuple[float, float]:
    """Median seconds of a call, in turn; a first round warms."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for maker, seen in ((ours, times[0]), (theirs, times[1])):
            took = maker.ask(do="one_row", rows=str(task.test), repeats=CALLS, at_best=at_best)[
                "seconds"
            ]
            if number:
                seen.append(took)
    return statistics.median(times[0]), statistics.median(times[1])


def _said(stored: dict[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in stored.items())


def _plain(value: Any) -> Any:
    """3, "3" and 3.0 are the same label."""
    try:
        return float(value)
    except ValueError:
        return str(value).strip()
