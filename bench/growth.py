"""How time grows: with rows, and with workers. Commands as a user gives them, in processes of their own.

Ten times the rows may take ten times as long: "peer" is ten times the time of a tenth of the rows, so that 1 is a straight
line. Twice the workers: "peer" is one worker on one core, ours two on two, as processes and as tasks of a Ray cluster of this
machine. Measured there is the comparison, from its first stage to its last one, the start of the workers included; what comes
before and after is the run's own process whatever does the stages. The models have to be equal, byte for byte.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.pairs import Result

ROUNDS = 2  # of a minute and more each
FAMILIES: tuple[dict[str, Any], ...] = (
    {"family": "linear"},
    {"family": "boosting", "rounds": 50},
    {"family": "mlp", "hidden": [32]},
)
WIDTHS = (48, 64, 80, 96, 112, 128)  # hidden units of networks that do not train as one
PINNED = """
import json, os, sys
os.sched_setaffinity(0, json.loads(sys.argv.pop(1)))
from sixfold.__main__ import main
main()
"""
EXECUTORS = ("processes", "ray")
GROWTH, WORKERS = 1.0, 1.7  # the targets


@dataclass(frozen=True)
class Command:
    """A recipe of `rows` rows, and how it is run. `cores`: that the command and its workers have,
    from `first_core` on.
    """

    rows: int
    build: tuple[dict[str, Any], ...]
    epochs: int
    budget: dict[str, Any]
    cores: int
    first_core: int = 0
    folds: int = 5


@dataclass(frozen=True)
class Seen:
    """What one command took, all of it and from its first stage to its last; the SHA-256 of its model."""

    whole_s: float
    stages_s: float
    model: str


def measure(
    rows: int = 20_000,
    epochs: int = 300,
    widths: tuple[int, ...] = WIDTHS,
    tiny: int = 60,
    rounds: int = ROUNDS,
    folds: int = 16,
    beside: tuple[str, ...] = ("one tree", "networks", "small trees"),
) -> Iterator[Result]:
    """Seconds. `beside`: what two workers do."""
    yield _rows(rows, min(epochs, 20), rounds)
    if "one tree" in beside:
        yield from _one_tree(rows, folds, rounds)
    if "networks" in beside:
        yield from _networks(rows, epochs, widths, rounds)
    if "small trees" in beside:
        yield from _small_trees(tiny, rounds)


def _one_tree(rows: int, folds: int, rounds: int) -> Iterator[Result]:
    deep = ({"family": "tree", "max_depth": 16},)
    title = f"one tree, {folds} folds, {10 * rows:,} rows: two workers"
    yield from _workers(title, Command(10 * rows, deep, 1, {}, 1, folds=folds), rounds)


def _networks(rows: int, epochs: int, widths: tuple[int, ...], rounds: int) -> Iterator[Result]:
    build = tuple({"family": "mlp", "hidden": [width]} for width in widths)
    title = f"{len(widths)} networks, 5 folds, {rows:,} rows, {epochs} epochs: two workers"
    yield from _workers(title, Command(rows, build, epochs, {}, 1), rounds)


def _small_trees(tiny: int, rounds: int) -> Iterator[Result]:
    build = tuple({"family": "tree", "max_depth": 2, "min_rows_leaf": 1 + at} for at in range(tiny))
    title = f"{tiny} trees of 100 rows, as many stages: two workers"
    yield from (
        replace(one, target=None, quality=f"{one.quality}; nothing but the start and the telling")
        for one in _workers(title, Command(100, build, 1, {}, 1), rounds)
    )


def _rows(rows: int, epochs: int, rounds: int) -> Result:
    few, many = (Command(count, FAMILIES, epochs, {}, 2) for count in (rows, 10 * rows))
    pairs = [(done(many).whole_s, done(few).whole_s) for _ in range(rounds)]
    mine, others = (statistics.median(each) for each in zip(*pairs, strict=True))
    return Result(
        f"linear, boosting, mlp, 5 folds: {10 * rows:,} rows",
        f"ten times the time of {rows:,} rows",
        mine,
        10 * others,
        quality="whole commands, report and bundle included",
        target=GROWTH,
        rounds=rounds,
    )


def _workers(title: str, alone: Command, rounds: int) -> Iterator[Result]:
    """One row for each executor, beside the same in the run's own process. The floor is what the
    machine can do: half of what two such commands take that run at once, each on its core.
    """
    pairs = {
        name: replace(alone, budget={"executor": name, "workers": 2}, cores=2)
        for name in EXECUTORS
        if name == "processes" or importlib.util.find_spec(name) is not None
    }
    seen: dict[str, list[Seen]] = {name: [] for name in ("alone", *pairs)}
    twice: list[float] = []
    for _ in range(rounds):
        for name, command in {"alone": alone, **pairs}.items():
            seen[name].append(done(command))
        with ThreadPoolExecutor(2) as pool:
            both = pool.map(done, (alone, replace(alone, first_core=1)))
            twice.append(max(one.stages_s for one in both) / 2)
    medians = {name: statistics.median(one.stages_s for one in each) for name, each in seen.items()}
    for name in EXECUTORS:
        row = Result(f"{title}, {name}", "one worker, one core", target=WORKERS, rounds=rounds)
        if name not in pairs:
            yield replace(row, absent=f"{name} is not installed")
            continue
        assert {one.model for one in seen[name]} == {one.model for one in seen["alone"]}, name
        quality = "equal models, byte for byte"
        yield replace(
            row,
            ours=medians[name],
            peers=medians["alone"],
            quality=quality,
            floor=statistics.median(twice),
        )


def done(command: Command) -> Seen:
    """Run it in a folder that goes again."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _table(folder / "t.csv", command.rows)
        recipe = {
            "version": 1,
            "data": {"source": "t.csv", "target": "y"},
            "build": list(command.build),
            "train": {"epochs": command.epochs},
            "evaluate": {"folds": command.folds},
            "budget": command.budget,
        }
        (folder / "r.yaml").write_text(json.dumps(recipe))
        own = sorted(os.sched_getaffinity(0))[command.first_core :][: command.cores]
        started = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PINNED,
                json.dumps(own),
                "run",
                "r.yaml",
                "--out",
                "run",
                "--quiet",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "RAY_worker_niceness": "0"},  # as the others; Ray's own is 15
        )
        assert process.wait() == 0
        took_s = time.perf_counter() - started
        model = hashlib.sha256((folder / "run/bundle/model.onnx").read_bytes()).hexdigest()
        return Seen(took_s, _stages_s(folder / "run/events.jsonl"), model)


def _stages_s(stream: Path) -> float:
    """From the start of the first stage of the comparison to the end of the last one."""
    events = [json.loads(line) for line in stream.read_text().splitlines()]
    own = [one for one in events if str(one.get("stage", "")).startswith("evaluate")]
    started = [one["time"] for one in own if one["event"] == "stage_started"]
    finished = [one["time"] for one in own if one["event"] == "stage_finished"]
    return float(max(finished) - min(started))


def _table(file: Path, rows: int) -> None:
    """Twenty numbers, and two classes of a curved border."""
    x = np.random.default_rng(0).normal(size=(rows, 20)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(int)
    header = ",".join([*(f"x{at}" for at in range(20)), "y"])
    form = ["%.5g"] * 20 + ["%d"]
    np.savetxt(file, np.column_stack([x, y]), form, ",", header=header, comments="")
