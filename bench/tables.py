"""Sixfold's `build: auto` beside AutoGluon (medium quality) and FLAML on small tables: 60 s and two cores
for each, five splits, the same for all.

A fifth of the rows is held out of each split (of classes, with their shares), and every maker gets the
same CSV of the others. Classes are scored by accuracy, values by 1 - RMSE / spread, where spread is that of
the held-out values: 0 is their mean, 1 is perfect. A score is the mean over the splits; by it all are
ranked on each table. Ours may be half a point behind, or 2% of the peer's RMSE.

Sixfold keeps `budget: {bundle: 5MB, latency: 1ms}`; the bytes are those of its whole bundle, with report and
receipt, and one row goes through `Bundle.predict`: the worst of all tables and splits.

`SIXFOLD_BENCH_TABLES` names a folder of CSV files without a header, whose last column is the target: numbers
with more than 10 values are values, all others classes; `?` is a missing value. Without it the tables are
those that come with scikit-learn. `SIXFOLD_BENCH_ADULT` adds the Adult census, with its own test file, once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.model_selection import train_test_split

from bench.child import Refused
from bench.end_to_end import ADULT, PEERS, Asked, Made, Task, make, task_of
from bench.pairs import Absent, Result

TABLES = "SIXFOLD_BENCH_TABLES"
SHIPPED: dict[str, Callable[..., Any]] = {
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "iris": load_iris,
    "wine": load_wine,
}
LIMITS = {"bundle": "5MB", "latency": "1ms"}
MOST_BYTES, MOST_S = 5_000_000.0, 1e-3
MOST_CLASSES = 10
BEHIND, BEHIND_SHARE = -0.5, -2.0  # points of a share of right answers; per cent of the peer's RMSE
CALLS, SPLITS = 200, 5


@dataclass
class Scores:
    """Of one table: maker → a score for each split. `spread`: of the values that were held out."""

    classes: bool
    by: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    most_bytes: float = 0.0
    most_s: float = 0.0

    def mean(self, maker: str) -> float | None:
        """None where a split is missing."""
        own, longest = self.by.get(maker, []), max(map(len, self.by.values()), default=0)
        return fmean(own) if own and len(own) == longest else None

    def ranks(self) -> dict[str, float]:
        """1 is the best; equal scores share a rank."""
        means = {name: mean for name in self.by if (mean := self.mean(name)) is not None}
        return {
            name: 1.0 + sum(other > own for other in means.values()) for name, own in means.items()
        }


def measure(
    names: Sequence[str] | None = None,
    seconds: float = 60,
    peers: Sequence[str] = ("autogluon", "flaml"),
    rows: int | None = None,
    rounds: int = SPLITS,
) -> Iterator[Result]:
    """A row a table and peer, then the mean ranks, bytes and one row. `names`: some of the tables; `rows`:
    train on so many only; `rounds`: splits.
    """
    found: dict[str, Scores] = {}
    for name in names if names is not None else _names():
        with tempfile.TemporaryDirectory() as place:
            found[name] = _scored(name, Path(place), Asked(seconds, LIMITS), rounds, peers, rows)
        yield from _rows(name, found[name], peers, rounds)
    yield from _ranked(found, peers)
    most_bytes = max(scores.most_bytes for scores in found.values())
    most_s = max(scores.most_s for scores in found.values())
    if most_bytes:
        size, row = "all tables: bytes of the largest bundle", "all tables: the slowest one row"
        yield Result(
            size, "the 5 MB that are asked for", most_bytes, MOST_BYTES, "B", target=1.0, rounds=1
        )
        yield Result(row, "the 1 ms that are asked for", most_s, MOST_S, target=1.0, rounds=1)


def _names() -> list[str]:
    folder = os.environ.get(TABLES)
    own = sorted(file.stem for file in Path(folder).glob("*.csv")) if folder else list(SHIPPED)
    return [*own, *(["adult"] if os.environ.get(ADULT) else [])]


def _scored(
    name: str, place: Path, asked: Asked, splits: int, peers: Sequence[str], rows: int | None
) -> Scores:
    tasks = list(_tasks(name, place, splits, rows))
    scores = Scores(tasks[0].classes)
    for task in tasks:
        for maker in ("sixfold", *peers):
            if maker in scores.absent:
                continue
            with ExitStack() as stack:
                try:
                    made = make(maker, task, task.train.parent, asked, stack)
                    scores.by.setdefault(maker, []).append(_score(task, made))
                    if maker == "sixfold":
                        _cost(task, made, scores)
                except Absent as error:
                    scores.absent[maker] = str(error)
                except Refused as error:
                    scores.absent[maker] = f"failed: {error}"
    return scores


def _tasks(name: str, place: Path, splits: int, rows: int | None) -> Iterator[Task]:
    if name == "adult":
        yield task_of(name, place, rows)
        return
    frame = _frame(name)
    values = pd.to_numeric(frame["target"], errors="coerce")
    classes = bool(values.isna().any()) or values.nunique() <= MOST_CLASSES
    counts = frame["target"].value_counts()
    shares = frame["target"] if classes and counts.min() > 1 else None
    for number in range(splits):
        folder = place / f"{number}"
        folder.mkdir()
        parts = train_test_split(frame, test_size=0.2, random_state=number, stratify=shares)
        parts[0] = parts[0].head(rows) if rows else parts[0]
        for part, some in zip(("train", "test"), parts, strict=True):
            some.to_csv(folder / f"{part}.csv", index=False)
        yield Task(name, folder / "train.csv", folder / "test.csv", "target", classes)


def _frame(name: str) -> pd.DataFrame:
    """With a column `target`, which every row has."""
    folder = os.environ.get(TABLES)
    if not folder:
        shipped: pd.DataFrame = SHIPPED[name](as_frame=True).frame
        return shipped
    read = pd.read_csv(
        Path(folder) / f"{name}.csv",
        header=None,
        na_values=["?"],
        quotechar="'",
        skipinitialspace=True,
    )
    read.columns = [*(f"c{number}" for number in range(read.shape[1] - 1)), "target"]
    return read.dropna(subset="target")


def _score(task: Task, made: Made) -> float:
    """`made.score` of classes; of values, whose score there is R², 1 - RMSE / spread."""
    return made.score if task.classes else 1.0 - float(np.sqrt(max(0.0, 1.0 - made.score)))


def _cost(task: Task, made: Made, scores: Scores) -> None:
    asked: Mapping[str, Any] = made.child.ask(
        do="one_row", rows=str(task.test), repeats=CALLS, at_best=False
    )
    scores.most_bytes = max(scores.most_bytes, float(made.stored["bytes"]))
    scores.most_s = max(scores.most_s, float(asked["seconds"]))


def _rows(name: str, scores: Scores, peers: Sequence[str], splits: int) -> Iterator[Result]:
    unit = "accuracy" if scores.classes else "1 - RMSE / spread"
    ours = scores.mean("sixfold")
    for peer in peers:
        theirs, title = scores.mean(peer), f"{name}: {unit}"
        if ours is None or theirs is None:
            why = scores.absent.get(peer) or scores.absent.get("sixfold", "a split is missing")
            yield Result(title, PEERS[peer], absent=why, failed=why.startswith("failed"))
            continue
        target = BEHIND if scores.classes else BEHIND_SHARE * (1.0 - theirs)
        yield Result(title, PEERS[peer], ours, theirs, unit, target=target, rounds=splits)


def _ranked(found: Mapping[str, Scores], peers: Sequence[str]) -> Iterator[Result]:
    """Negative, for more has to be better."""
    ranks = [scores.ranks() for scores in found.values()]
    for peer in peers:
        both = [each for each in ranks if {"sixfold", peer} <= each.keys()]
        if not both:
            why = "not installed, or it failed on every table"
            yield Result("all tables: mean rank", PEERS[peer], absent=why)
            continue
        ours, theirs = (-fmean(each[maker] for each in both) for maker in ("sixfold", peer))
        told = ", ".join(
            f"{maker} {-value:.2f}" for maker, value in (("ours", ours), (peer, theirs))
        )
        yield Result(
            "all tables: mean rank",
            PEERS[peer],
            ours,
            theirs,
            "mean rank, negative",
            told,
            target=0.0,
            rounds=1,
        )
