"""A plan before the start: what a run will take, from trials of every candidate on a few rows.

Time is a straight line through two trials; it was right within a factor of three (`TIME_ERROR`). Memory is what the process
holds now and what features, their copies and the folds' tables will add; it is right within a third (`MEMORY_ERROR`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from sixfold.core.errors import BudgetError, DataError, RecipeError, SixfoldError
from sixfold.core.units import seconds, show_bytes, show_seconds, size_bytes
from sixfold.evaluate.cross_validation import CACHE_BYTES
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import fit_model, prepare_rows
from sixfold.parts import sparse, state
from sixfold.parts.table import Dataset, IntArray
from sixfold.recipe.schema import Budget
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate

TRIAL_ROWS = 500
MOST_TRIAL_ROWS = 20_000
# Time seen over forecast: Adult 1.2, a million rows 0.3 (forecast beside another job). Memory is held by a test.
TIME_ERROR, MEMORY_ERROR = 3.0, 4 / 3
COPIES = 2  # of the features while one is trained: their own, and one more inside the solver or the loop


@dataclass(frozen=True)
class Forecast:
    """What one candidate will take on all folds and in the last training. `tried`: rows of the larger trial."""

    candidate: str
    folds_s: float
    refit_s: float
    memory_bytes: int
    disk_bytes: int
    tried: int


def forecast(candidate: Candidate, training: Dataset, folds: Sequence[Fold], seed: int) -> Forecast:
    """Prepare, train and save `candidate` on a few training rows, and draw the line to all of them.

    Raises the SixfoldError that stops the trial.
    """
    rows = training.table.rows
    least = min(rows, TRIAL_ROWS)
    most = min(rows, max(4 * TRIAL_ROWS, min(rows // 20, MOST_TRIAL_ROWS)))
    _trial(candidate, training.take(_some(training, least)), seed)  # what only the first one takes: imports, threads
    points = [_trial(candidate, training.take(_some(training, count)), seed) for count in {least, most}]
    (low_s, low_bytes), (high_s, high_bytes) = min(points), max(points)

    def line(low: float, high: float, at: int) -> float:
        return high + (max(0.0, high - low) / (most - least) * (at - most) if most > least else 0.0)

    sizes = [len(fold.train) for fold in folds]
    disk = sum(line(low_bytes, high_bytes, size) for size in (*sizes, rows)) + 8 * rows * training.target.outputs
    return Forecast(
        candidate.name, sum(line(low_s, high_s, size) for size in sizes), line(low_s, high_s, rows),
        memory(candidate, training, folds, seed), round(disk), most,
    )  # fmt: skip


def memory(candidate: Candidate, training: Dataset, folds: Sequence[Fold], seed: int) -> int:
    """Bytes that the process will hold at most while `candidate` is trained."""
    rows = training.table.rows
    some = training.take(_some(training, min(rows, 4 * TRIAL_ROWS)))
    x = prepare_rows(candidate, some, Context(seed=seed)).x
    filled = np.count_nonzero(x) / max(1, x.size)
    may_be_thin = candidate.family.needs.sparse and filled <= sparse.MOST_FILLED

    def features(count: int) -> int:
        dense = count * x.shape[1] * x.dtype.itemsize
        thin = may_be_thin and dense > sparse.DENSE_BYTES
        return int(count * x.shape[1] * filled * (x.dtype.itemsize + 4)) if thin else int(dense)

    fold = features(max(len(one.train) for one in folds))
    kept = min(CACHE_BYTES, fold * len(folds)) if fold <= CACHE_BYTES else 0
    table = sum(column.values.nbytes for column in training.table.columns.values())
    return int(psutil.Process().memory_info().rss + table + COPIES * max(fold, features(rows)) + kept)


def check_memory(candidate: str, needed: int, budget: Budget) -> None:
    """Raises BudgetError when the budget, or the machine, has less than a candidate needs even if it needs a third less."""
    process = psutil.Process().memory_info().rss
    limit = size_bytes(budget.memory) if budget.memory else psutil.virtual_memory().available + process
    if needed / MEMORY_ERROR > limit:
        raise BudgetError(
            "budget.memory" if budget.memory else "memory", f"at most {show_bytes(limit)}",
            f"a forecast of {show_bytes(needed)} for {candidate}, right within a third",
            "Group rare values (prepare.features: one_hot with max_levels), take a family that needs no one-hot "
            "features (tree, forest, boosting), or fewer rows or columns.",
        )  # fmt: skip


def check_plan(candidates: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget) -> None:
    """Raises BudgetError when a candidate cannot fit into memory. Candidates with equal preparation are looked at once."""
    seen: set[str] = set()
    for candidate in candidates:
        preparation = repr((candidate.prepare.model_dump_json(), candidate.family.needs))
        if preparation in seen:
            continue
        seen.add(preparation)
        with contextlib.suppress(
            DataError, RecipeError
        ):  # what a few rows cannot show: the folds will say it of all rows
            check_memory(candidate.name, memory(candidate, training, folds, candidate.initialize.seed), budget)


def in_words(found: Sequence[Forecast], budget: Budget) -> list[str]:
    """Sentences: each candidate, the sum, and what a budget of time will do."""
    if not found:
        return []
    time_s = sum(one.folds_s for one in found) + max(one.refit_s for one in found)
    said = [
        f"forecast {one.candidate}: {show_seconds(one.folds_s)} on the folds, {show_seconds(one.refit_s)} on all rows, "
        f"{show_bytes(one.memory_bytes)} of memory"
        for one in found
    ]
    said.append(
        f"forecast: {show_seconds(time_s)} to train, compression not counted (within a factor of {TIME_ERROR:g}); "
        f"{show_bytes(max(one.memory_bytes for one in found))} of memory (within a third); "
        f"{show_bytes(sum(one.disk_bytes for one in found))} of disk; tried on {found[0].tried:,} rows"
    )
    if budget.time and seconds(budget.time) < time_s:
        said.append(
            f"warning: budget.time {budget.time} may not be enough: networks will be cut short, solvers left out; "
            "raise it, or take fewer candidates or folds"
        )
    return said


def forecasts(
    candidates: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget
) -> tuple[list[Forecast], list[SixfoldError]]:
    """Those of all candidates, and the errors of trials that failed and of memory that is not there."""
    found: list[Forecast] = []
    failed: list[SixfoldError] = []
    for candidate in candidates:
        try:
            found.append(forecast(candidate, training, folds, candidate.initialize.seed))
            check_memory(candidate.name, found[-1].memory_bytes, budget)
        except SixfoldError as error:
            failed.append(error)
    return found, failed


def _some(training: Dataset, count: int) -> IntArray:
    """`count` rows, sorted: evenly spaced in the order of the target, so that classes have their shares."""
    values = training.target.values.reshape(training.table.rows, -1)[:, 0]
    order = np.argsort(values, kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)]).astype(np.int64)


def _trial(candidate: Candidate, some: Dataset, seed: int) -> tuple[float, float]:
    """Seconds to prepare, train and predict, and bytes of the model."""
    context, started = Context(seed=seed), time.monotonic()
    model = fit_model(candidate, some, context)
    model.predict(some.table)
    return time.monotonic() - started, float(state.size_bytes(model))
