"""How far the forecast of `sixfold check` is from the truth: seconds that it says, over seconds
that folds and refit take.

`python -m bench.forecast` prints the table of docs/how-to/budgets.md,
`python -m bench.forecast memory` that of memory. Seconds are those of one core's work, which do not
hang on what else the machine does; there is no peer, and no part in `make bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sixfold import pipeline
from sixfold.data import holdout, load
from sixfold.evaluate import folds
from sixfold.evaluate.cross_validation import Group, evaluate_folds
from sixfold.evaluate.fold_cache import FoldCache
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Dataset
from sixfold.plan import forecast as plan
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.plan.memory import memory as memory_of
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.runs.context import Context
from sixfold.runs.memory import MemoryGuard

GRID = [{"name": "adam", "learning_rate": rate} for rate in (0.001, 0.003, 0.01, 0.03)]


class Case(NamedTuple):
    """A recipe's `build` and `train` on a table, on some folds."""

    table: str
    build: Any
    folds: int
    train: dict[str, Any] = {}  # noqa: RUF012  (a NamedTuple's default, which nobody changes)


CASES = {
    "mlp, digits, 10 folds": Case("digits", {"family": "mlp", "hidden": [128, 64]}, 10),
    "mlp, census, 5 folds": Case("census", "mlp", 5, {"epochs": 10}),
    "mlp, digits, 5 folds × 4 rates": Case(
        "digits", {"family": "mlp", "hidden": [128, 64]}, 5, {"optimizer": GRID}
    ),
    "residual_mlp, digits, 5 folds": Case("digits", "residual_mlp", 5, {"epochs": 10}),
    "residual_mlp, diabetes, 5 folds": Case("diabetes", "residual_mlp", 5),
    "tabm, diabetes, 5 folds": Case("diabetes", "tabm", 5),
    "tabm, breast cancer, 5 folds": Case("breast_cancer", "tabm", 5),
    "linear, census, 5 folds": Case("census", "linear", 5),
    "linear, breast cancer, 5 folds × 12 C": Case(
        "breast_cancer", {"family": "linear", "C": list(range(1, 13))}, 5
    ),
    "tree, census, 5 folds": Case("census", "tree", 5),
    "forest, census, 5 folds": Case("census", "forest", 5),
    "boosting, census, 5 folds": Case("census", "boosting", 5),
    "boosting, digits, 5 folds": Case("digits", "boosting", 5),
    "svm, digits, 5 folds": Case("digits", "svm", 5),
    "svm, digits, 5 folds × 6 C": Case(
        "digits", {"family": "svm", "C": [0.1, 0.3, 1, 3, 10, 30]}, 5
    ),
    "kernel_ridge, diabetes, 5 folds": Case("diabetes", "kernel_ridge", 5),
}


def census(rows: int = 30_000) -> pd.DataFrame:
    """Six numbers and eight categories, as the Adult census has them; two classes."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 6))
    kinds = [rng.integers(0, levels, rows) for levels in (9, 16, 7, 15, 6, 5, 2, 42)]
    score = numbers @ rng.normal(size=6) + sum(rng.normal(size=42)[kind] for kind in kinds)
    table = {f"n{at}": numbers[:, at] for at in range(6)} | {
        f"c{at}": [f"v{v}" for v in k] for at, k in enumerate(kinds)
    }
    return pd.DataFrame(
        {**table, "target": np.where(score + rng.normal(size=rows) > 0, "yes", "no")}
    )


def prepared(case: Case) -> tuple[list[Any], Dataset, tuple[Any, ...], tuple[str, ...], Any]:
    """Candidates, rows, folds, metrics and the recipe."""
    recipe = from_object(
        {
            "data": {"source": f"sklearn:{case.table}", "target": "target"},
            "build": case.build,
            "train": case.train,
            "evaluate": {"folds": case.folds},
        }
    ).recipe
    if case.table == "census":
        data = load.from_frame(census(), Data(source="frame", target="target"), None)
    else:
        data = load.load(recipe.data, None, load.Path())
    candidates = list(resolve(recipe, data, None))
    parts = tuple(folds.make(recipe.evaluate, data))
    return candidates, data, parts, metrics_of(recipe, data, parts).names, recipe


def once(case: Case) -> tuple[float, float]:
    """Seconds that were said, and that it took: all candidates on all folds, and one of them on all
    rows.
    """
    candidates, data, parts, metrics, _ = prepared(case)
    found, failed = plan.forecasts(candidates, data, parts, Budget())
    if failed:
        raise failed[0]
    started, context = time.monotonic(), Context()
    evaluate_folds(Group(candidates, data, parts, context, FoldCache()), range(len(parts)), metrics)
    fit_model(candidates[0], data, context)
    took_s = time.monotonic() - started
    return sum(one.folds_s for one in found) + max(one.refit_s for one in found), took_s


def measure(names: tuple[str, ...] = ()) -> Iterator[tuple[str, float, float]]:
    """Workload, seconds said, seconds taken."""
    for name, case in CASES.items():
        if not names or any(part in name for part in names):
            yield name, *once(case)


@contextmanager
def one_core() -> Iterator[None]:
    """Inside, this process has one core, and its clock is the time that it worked."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    with threadpool_limits(1), patch("time.monotonic", time.process_time):
        torch.set_num_threads(1)
        yield


class Held(NamedTuple):
    """A table of so many rows and numbers, and what is built: five folds, the refit and the bundle,
    in a process of its own.
    """

    rows: int
    numbers: int
    task: str
    build: Any


HELD = {
    "kernel_ridge, 3,200 × 20": Held(3200, 20, "regression", {"family": "kernel_ridge"}),
    "kernel_ridge, 6,300 × 20": Held(6300, 20, "regression", {"family": "kernel_ridge"}),
    "svm, 6,300 × 20": Held(6300, 20, "classification", {"family": "svm"}),
    "svm, 6,300 × 20, 3 C": Held(
        6300, 20, "classification", {"family": "svm", "C": [0.3, 1.0, 3.0]}
    ),
    "forest, 300 trees, 12,000 × 20": Held(
        12_000, 20, "classification", {"family": "forest", "trees": 300}
    ),
    "tree, 60,000 × 100": Held(60_000, 100, "classification", {"family": "tree"}),
    "boosting, 40 rounds, 60,000 × 100": Held(
        60_000, 100, "classification", {"family": "boosting", "rounds": 40}
    ),
    "linear, 60,000 × 100": Held(60_000, 100, "classification", {"family": "linear"}),
    "mlp, 60,000 × 100": Held(60_000, 100, "classification", {"family": "mlp"}),
    "residual_mlp, 30,000 × 50": Held(30_000, 50, "classification", {"family": "residual_mlp"}),
    "tabm, 20,000 × 50": Held(20_000, 50, "classification", {"family": "tabm"}),
}


def held(case: Held, count: int = 5) -> tuple[int, int]:
    """`count`: of folds. Bytes that are said, and the most that this process holds while the whole run is done."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(case.rows, case.numbers))
    score = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=case.rows)
    y = score if case.task == "regression" else np.where(score > 0, "a", "b")
    frame = pd.DataFrame({**{f"n{at}": x[:, at] for at in range(case.numbers)}, "y": y})
    recipe = from_object(
        {
            "data": {"source": "frame", "target": "y", "holdout": 0.2},
            "build": case.build,
            "train": {"epochs": 1, "batch_size": 1024},
            "evaluate": {"folds": count},
        }
    )
    data = load.from_frame(frame, recipe.recipe.data, None)
    training = data.take(holdout.split(data, recipe.recipe.data)[0])
    candidates, parts = (
        list(resolve(recipe.recipe, training, None)),
        tuple(folds.make(recipe.recipe.evaluate, training)),
    )
    notes, guard = memory_of(candidates, training, parts), MemoryGuard(1 << 50)
    with tempfile.TemporaryDirectory() as folder, guard:
        pipeline.run(recipe, Path(folder) / "run", dataset=data)
    return notes, guard.most


def memory(names: tuple[str, ...]) -> None:
    """Print the table of memory; every workload has a process of its own."""
    print("| workload | forecast | held | forecast / held |\n| --- | --- | --- | --- |")
    for name in HELD:
        if not names or any(part in name for part in names):
            code = f"from bench.forecast import HELD, held; print(*held(HELD[{name!r}]))"
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            notes, most = map(int, done.stdout.split())
            print(
                f"| {name} | {notes / 1e6:.0f} | {most / 1e6:.0f} | {notes / most:.2f} |",
                flush=True,
            )


def main() -> None:
    """Print the table; arguments are parts of names of workloads, after `memory` of those of
    memory.
    """
    if sys.argv[1:2] == ["memory"]:
        memory(tuple(sys.argv[2:]))
        return
    print("| workload | forecast | taken | forecast / taken |\n| --- | --- | --- | --- |")
    with one_core():
        for name, notes, took in measure(tuple(sys.argv[1:])):
            print(f"| {name} | {notes:.1f} s | {took:.1f} s | {notes / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
