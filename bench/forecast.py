"""How far the forecast of `sixfold check` is from the truth: seconds that it says, over seconds that folds and refit take.

`python -m bench.forecast` prints the table of docs/how-to/budgets.md. Seconds are those of one core's work, which do not hang on
what else the machine does; there is no peer, and no part in `make bench`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sixfold import forecast as plan
from sixfold.data import load
from sixfold.evaluate import folds
from sixfold.evaluate.cross_validation import FoldCache, Group, evaluate_folds
from sixfold.evaluate.model import fit_model
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Budget, Data
from sixfold.resolve import metrics_of, resolve
from sixfold.runs.context import Context

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
    "mlp, digits, 5 folds × 4 rates": Case("digits", {"family": "mlp", "hidden": [128, 64]}, 5, {"optimizer": GRID}),
    "residual_mlp, digits, 5 folds": Case("digits", "residual_mlp", 5, {"epochs": 10}),
    "residual_mlp, diabetes, 5 folds": Case("diabetes", "residual_mlp", 5),
    "tabm, diabetes, 5 folds": Case("diabetes", "tabm", 5),
    "tabm, breast cancer, 5 folds": Case("breast_cancer", "tabm", 5),
    "linear, census, 5 folds": Case("census", "linear", 5),
    "linear, breast cancer, 5 folds × 12 C": Case("breast_cancer", {"family": "linear", "C": list(range(1, 13))}, 5),
    "tree, census, 5 folds": Case("census", "tree", 5),
    "forest, census, 5 folds": Case("census", "forest", 5),
    "boosting, census, 5 folds": Case("census", "boosting", 5),
    "boosting, digits, 5 folds": Case("digits", "boosting", 5),
    "svm, digits, 5 folds": Case("digits", "svm", 5),
    "svm, digits, 5 folds × 6 C": Case("digits", {"family": "svm", "C": [0.1, 0.3, 1, 3, 10, 30]}, 5),
    "kernel_ridge, diabetes, 5 folds": Case("diabetes", "kernel_ridge", 5),
}  # fmt: skip


def census(rows: int = 30_000) -> pd.DataFrame:
    """Six numbers and eight categories, as the Adult census has them; two classes."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 6))
    kinds = [rng.integers(0, levels, rows) for levels in (9, 16, 7, 15, 6, 5, 2, 42)]
    score = numbers @ rng.normal(size=6) + sum(rng.normal(size=42)[kind] for kind in kinds)
    table = {f"n{at}": numbers[:, at] for at in range(6)} | {
        f"c{at}": [f"v{v}" for v in k] for at, k in enumerate(kinds)
    }
    return pd.DataFrame({**table, "target": np.where(score + rng.normal(size=rows) > 0, "yes", "no")})


def prepared(case: Case) -> tuple[list[Any], Dataset, tuple[Any, ...], tuple[str, ...], Any]:
    """Candidates, rows, folds, metrics and the recipe."""
    recipe = from_object({
        "data": {"source": f"sklearn:{case.table}", "target": "target"}, "build": case.build, "train": case.train,
        "evaluate": {"folds": case.folds},
    }).recipe  # fmt: skip
    if case.table == "census":
        data = load.from_frame(census(), Data(source="frame", target="target"), None)
    else:
        data = load.load(recipe.data, None, load.Path())
    candidates = list(resolve(recipe, data, None))
    parts = tuple(folds.make(recipe.evaluate, data))
    return candidates, data, parts, metrics_of(recipe, data, parts).names, recipe


def once(case: Case) -> tuple[float, float]:
    """Seconds that were said, and that it took: all candidates on all folds, and one of them on all rows."""
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


def main() -> None:
    """Print the table; arguments are parts of names of workloads."""
    print("| workload | forecast | taken | forecast / taken |\n| --- | --- | --- | --- |")
    with one_core():
        for name, said, took in measure(tuple(sys.argv[1:])):
            print(f"| {name} | {said:.1f} s | {took:.1f} s | {said / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
