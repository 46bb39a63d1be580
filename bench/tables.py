"""Sixfold's `build: auto` beside AutoGluon (medium quality) and FLAML on small tables: 60 s and two cores
for each, five splits, the same for all.

A fifth of the rows is held out of each split (of classes, with their shares), and every maker gets the
same CSV of the others. Classes are scored by accuracy, values by 1 - RMSE / spread, where spread is that of
the held-out values: 0 is their mean, 1 is perfect. A score is the mean over the splits; by it all are
ranked on each table. Ours may be half a point behind, or 2% of the peer's RMSE.

Equal rows lie on both sides of such splits (of the wines 30% of those held out): ours is told with `data.duplicates: ignore`
that it will meet rows again. By itself it keeps them together, and chooses models for rows that it has not seen.

Sixfold keeps `budget: {bundle: 5MB, latency: 1ms}`; the bytes are those of its whole bundle, with report and
receipt, and one row goes through `Bundle.predict`: the worst of all tables and splits.

`SIXFOLD_BENCH_TABLES` names a folder of CSV files without a header, whose last column is the target: numbers
with more than 10 values are values, all others classes; `?` is a missing value. Without it the tables are
those that come with scikit-learn. `SIXFOLD_BENCH_ADULT` adds the Adult census, with its own test file, once.

All of it takes more than two hours, and can be had in pieces: `SIXFOLD_BENCH_STORE` names a file of results, a line
for each table, split and maker, which are not measured again; `SIXFOLD_BENCH_ONLY=sonar,glass` measures these
tables alone; after `SIXFOLD_BENCH_MINUTES` nothing more is begun (0: the rows of what the file has). The first
split of every table comes before the second of any. A pair is compared on the splits that both have. Results of
another processor, of other seconds or rows stay in the file and count for nothing; those of another commit
count, and the page says which. A line that is taken out is measured anew.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.model_selection import train_test_split

from bench import record
from bench.child import ROOT, Refused
from bench.end_to_end import ADULT, AT_BEST, PEERS, Asked, Made, Task, make, task_of
from bench.pairs import Absent, Result

TABLES = "SIXFOLD_BENCH_TABLES"
STORE, ONLY, MINUTES = "SIXFOLD_BENCH_STORE", "SIXFOLD_BENCH_ONLY", "SIXFOLD_BENCH_MINUTES"
OURS = "sixfold"
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
CALLS, PEERS_CALLS, SPLITS = 200, 20, 5


@dataclass(frozen=True)
class Measured:
    """One maker on one split of a table: its score, or why it has none. `asked`: what results must have in
    common to be compared. `costs`: `wall_s`, `bytes`, `one_row_s`; of AutoGluon `bytes at best`, `one_row_s at best`.
    """

    table: str
    split: int
    maker: str
    asked: dict[str, Any]
    commit: str
    date: str
    classes: bool
    score: float | None
    costs: dict[str, float]
    error: str = ""


class Results:
    """What was measured, of which those that were `asked` so count; a line each in `file`, if there is one."""

    def __init__(self, file: Path | None, asked: dict[str, Any]) -> None:
        self.file, self.asked = file, asked
        lines = file.read_text(encoding="utf-8").splitlines() if file and file.exists() else []
        known = [Measured(**json.loads(line)) for line in lines]
        self.found = [one for one in known if one.asked == asked]

    def has(self, table: str, split: int, maker: str) -> bool:
        """Whether it need not be measured."""
        key = table, split, maker
        return any((one.table, one.split, one.maker) == key for one in self.found)

    def add(self, one: Measured) -> None:
        """It will not be measured again."""
        self.found.append(one)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(one)) + "\n")

    def error(self, table: str, maker: str) -> str:
        """What a maker failed with on a table, first; '' where it did not."""
        own = (one for one in self.found if (one.table, one.maker) == (table, maker))
        return next((one.error for one in own if one.error), "")

    def of(self, table: str, maker: str) -> dict[int, Measured]:
        """Split → result; those of a maker that failed once are none."""
        if self.error(table, maker):
            return {}
        return {one.split: one for one in self.found if (one.table, one.maker) == (table, maker)}

    def why(self, table: str, maker: str) -> str:
        """Why a maker has no results of a table."""
        error = self.error(table, maker)
        return f"failed: {error}" if error else f"not measured yet ({STORE})"


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
    machine = record.machine()
    asked = {
        "seconds": seconds,
        "limits": LIMITS,
        "rows": rows,
        "processor": machine["processor"],
        "cores": machine["cores_used"],
    }
    file = os.environ.get(STORE)
    results, absent = Results(Path(file) if file else None, asked), dict[str, str]()
    tables = list(names) if names is not None else _names()
    minutes = float(os.environ.get(MINUTES, "inf"))
    until = time.monotonic() + 60 * minutes if minutes else -math.inf
    for split in range(rounds):
        for number, name in enumerate(tables):
            if _is_wanted(name) and split < splits_of(name, rounds):
                turn = (split + number) % (1 + len(peers))
                makers = (OURS, *peers)
                _measure(
                    results, _Piece(name, split, (*makers[turn:], *makers[:turn])), absent, until
                )
    for name in tables:
        yield from _rows(name, results, peers, absent, splits_of(name, rounds))
    yield from _ranked(tables, results, peers)
    yield from _taken(tables, results, peers)


def splits_of(name: str, splits: int) -> int:
    """Adult has a test file of its own."""
    return 1 if name == "adult" else splits


def _names() -> list[str]:
    folder = os.environ.get(TABLES)
    own = sorted(file.stem for file in Path(folder).glob("*.csv")) if folder else list(SHIPPED)
    return [*own, *(["adult"] if os.environ.get(ADULT) else [])]


def _is_wanted(name: str) -> bool:
    only = os.environ.get(ONLY)
    return not only or name in only.split(",")


@dataclass(frozen=True)
class _Piece:
    """A split of a table, and who is measured on it, one after the other."""

    table: str
    split: int
    makers: tuple[str, ...]


def _measure(results: Results, piece: _Piece, absent: dict[str, str], until: float) -> None:
    """Whoever has no result yet and did not fail on the table, as long as it is before `until`."""
    gone = {maker for maker in piece.makers if maker in absent or results.error(piece.table, maker)}
    left = [
        maker
        for maker in piece.makers
        if maker not in gone and not results.has(piece.table, piece.split, maker)
    ]
    if not left or time.monotonic() > until:
        return
    with tempfile.TemporaryDirectory() as place:
        task = _task(piece.table, Path(place), piece.split, results.asked["rows"])
        for maker in left:
            if time.monotonic() > until:
                return
            try:
                results.add(_measured(piece, maker, task, results.asked))
            except Absent as error:
                absent[maker] = str(error)


def _measured(piece: _Piece, maker: str, task: Task, asked: dict[str, Any]) -> Measured:
    """Raises Absent."""
    score, costs, why = None, dict[str, float](), ""
    with ExitStack() as stack:
        try:
            made = make(maker, task, task.train.parent, Asked(asked["seconds"], LIMITS), stack)
            score, costs = _score(task, made), _costs(task, made, maker)
        except Refused as error:
            score, costs, why = None, {}, str(error)
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Measured(
        piece.table, piece.split, maker, asked, _commit(), date, task.classes, score, costs, why
    )


def _commit() -> str:
    """Of Sixfold; with a + where its sources differ from it."""

    def told(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    return told("rev-parse", "--short", "HEAD") + "+" * bool(told("status", "--porcelain", "src"))


def _task(name: str, place: Path, split: int, rows: int | None) -> Task:
    """The same files in every run."""
    if name == "adult":
        return task_of(name, place, rows)
    frame = _frame(name)
    values = pd.to_numeric(frame["target"], errors="coerce")
    classes = bool(values.isna().any()) or values.nunique() <= MOST_CLASSES
    counts = frame["target"].value_counts()
    shares = frame["target"] if classes and counts.min() > 1 else None
    parts = train_test_split(frame, test_size=0.2, random_state=split, stratify=shares)
    parts[0] = parts[0].head(rows) if rows else parts[0]
    for part, some in zip(("train", "test"), parts, strict=True):
        some.to_csv(place / f"{part}.csv", index=False)
    return Task(name, place / "train.csv", place / "test.csv", "target", classes)


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


def _costs(task: Task, made: Made, maker: str) -> dict[str, float]:
    costs = {"wall_s": made.wall_s}
    calls = CALLS if maker == OURS else PEERS_CALLS
    for suffix in ("", " at best"):
        if f"bytes{suffix}" in made.stored:
            asked: Mapping[str, Any] = made.child.ask(
                do="one_row", rows=str(task.test), repeats=calls, at_best=bool(suffix)
            )
            costs[f"bytes{suffix}"] = float(made.stored[f"bytes{suffix}"])
            costs[f"one_row_s{suffix}"] = float(asked["seconds"])
    return costs


def _rows(
    name: str, results: Results, peers: Sequence[str], absent: Mapping[str, str], splits: int
) -> Iterator[Result]:
    ours = results.of(name, OURS)
    known = [one for one in results.found if one.table == name]
    unit = "accuracy" if not known or known[0].classes else "1 - RMSE / spread"
    for peer in peers:
        theirs, title = results.of(name, peer), f"{name}: {unit}"
        both = sorted(ours.keys() & theirs.keys())
        if not both:
            why = absent.get(peer) or results.why(name, peer if ours else OURS)
            failed = why.startswith("failed")
            yield Result(title, PEERS[peer], absent=why, failed=failed)
            continue
        own, other = (_mean(one, both) for one in (ours, theirs))
        target = BEHIND if unit == "accuracy" else BEHIND_SHARE * (1.0 - other)
        told = _told(name, [ours[split] for split in both], [theirs[split] for split in both])
        told += f", {len(both)} of {splits} splits"
        yield Result(title, PEERS[peer], own, other, unit, told, target=target, rounds=len(both))


def _mean(found: Mapping[int, Measured], splits: Sequence[int]) -> float:
    return fmean(found[split].score or 0.0 for split in splits)


def _told(name: str, ours: Sequence[Measured], theirs: Sequence[Measured]) -> str:
    """The seconds, and which of our commits it was."""
    own, other = (fmean(one.costs["wall_s"] for one in each) for each in (ours, theirs))
    commits = ", ".join(dict.fromkeys(one.commit for one in ours))
    return f"{name} {own:.0f} s (at {commits}) beside {other:.0f} s"


def ranks(results: Results, table: str, makers: Sequence[str]) -> dict[str, float]:
    """Of those that have results, on the splits that all of them have: 1 is the best; equal scores share a rank."""
    found = {maker: own for maker in makers if (own := results.of(table, maker))}
    splits = sorted(set[int].intersection(*(set(own) for own in found.values())) if found else ())
    if not splits:
        return {}
    means = {maker: _mean(own, splits) for maker, own in found.items()}
    return {
        maker: 1.0 + sum(other > own for other in means.values()) for maker, own in means.items()
    }


def _ranked(tables: Sequence[str], results: Results, peers: Sequence[str]) -> Iterator[Result]:
    """Negative, for more has to be better."""
    ranked = [ranks(results, name, (OURS, *peers)) for name in tables]
    for peer in peers:
        both = [each for each in ranked if {OURS, peer} <= each.keys()]
        if not both:
            why = f"not installed, not measured yet ({STORE}), or it failed on every table"
            yield Result("all tables: mean rank", PEERS[peer], absent=why)
            continue
        ours, theirs = (-fmean(each[maker] for each in both) for maker in (OURS, peer))
        told = ", ".join(
            f"{maker} {-value:.2f}" for maker, value in (("ours", ours), (peer, theirs))
        )
        yield Result(
            f"all tables ({len(both)}): mean rank",
            PEERS[peer],
            ours,
            theirs,
            "mean rank, negative",
            told,
            target=0.0,
            rounds=1,
        )


def _taken(tables: Sequence[str], results: Results, peers: Sequence[str]) -> Iterator[Result]:
    """The largest bundle and the slowest one row of ours, beside what is asked for; means beside the peers'."""
    ours = [one for name in tables for one in results.of(name, OURS).values()]
    if not ours:
        return
    most_bytes, most_s = (max(one.costs[key] for one in ours) for key in ("bytes", "one_row_s"))
    size, row = "all tables: bytes of the largest bundle", "all tables: the slowest one row"
    asked = "the 5 MB that are asked for", "the 1 ms that are asked for"
    yield Result(size, asked[0], most_bytes, MOST_BYTES, "B", target=1.0, rounds=1)
    yield Result(row, asked[1], most_s, MOST_S, target=1.0, rounds=1)
    for peer in peers:
        pairs = [
            (mine.costs, theirs.costs)
            for mine in ours
            if (theirs := results.of(mine.table, peer).get(mine.split)) is not None
        ]
        for suffix in ("", " at best"):
            known = [pair for pair in pairs if f"bytes{suffix}" in pair[1]]
            for key, unit in (("bytes", "B"), ("one_row_s", "s")) if known else ():
                means = (
                    fmean(mine[key] for mine, _ in known),
                    fmean(one[key + suffix] for _, one in known),
                )
                title = (
                    "all tables: mean bytes on disk"
                    if unit == "B"
                    else "all tables: mean of one row"
                )
                name = PEERS[peer] + (AT_BEST if suffix else "")
                yield Result(title, name, *means, unit, rounds=len(known))
