"""A plan before the start: what a run will take, from trials of every candidate on a few rows.

Time is a straight line through two trials; it was right within a factor of three (`TIME_ERROR`). A network is trained for a
few epochs, whose time stands for all of them; what else would take long is cut short, and the forecast says "at least".
Memory is what the process holds now and what features, their copies and the folds' tables will add; it is right within a
third (`MEMORY_ERROR`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil

from sixfold.build.family import GradientFamily, Interruptible
from sixfold.core.errors import BudgetError, DataError, RecipeError, SixfoldError
from sixfold.core.units import seconds, show_bytes, show_seconds, size_bytes
from sixfold.evaluate.cross_validation import CACHE_BYTES
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import calibrate, fit_prepared, prepare_rows
from sixfold.parts import sparse, state
from sixfold.parts.table import Dataset, IntArray
from sixfold.recipe.schema import Budget
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate

TRIAL_ROWS = 500
MOST_TRIAL_ROWS = 20_000
TRIAL_EPOCHS = 3
# Seconds of training in the trials of one candidate, and of all of them: guessed, what one likes to wait for.
TRIALS_S, ALL_TRIALS_S = 10.0, 60.0
# Time seen over forecast: Adult 1.2, a million rows 0.3 (forecast beside another job). Memory is held by a test.
TIME_ERROR, MEMORY_ERROR = 3.0, 4 / 3
COPIES = 2  # of the features while one is trained: their own, and one more inside the solver or the loop


@dataclass(frozen=True)
class Forecast:
    """What one candidate will take on all folds and in the last training. `tried`: rows of the larger trial.

    `at_least`: a trial was cut short, so that all of it takes longer. `may_stop`: the time is that of all epochs, and
    training may stop before the last one.
    """

    candidate: str
    folds_s: float
    refit_s: float
    memory_bytes: int
    disk_bytes: int
    tried: int
    at_least: bool = False
    may_stop: bool = False


@dataclass(frozen=True)
class Trial:
    """What `rows` rows took. `once_s`: to prepare and predict; `fit_s`: to train, `all_s`: the same for all epochs."""

    rows: int
    once_s: float
    fit_s: float
    all_s: float
    model_bytes: float
    cut: bool

    @property
    def whole_s(self) -> float:
        """Seconds that the rows take in a run."""
        return self.once_s + self.all_s


def forecast(
    candidate: Candidate, training: Dataset, folds: Sequence[Fold], seed: int, trials_s: float = TRIALS_S
) -> Forecast:
    """Prepare, train and save `candidate` on a few training rows, and draw the line to all of them.

    Training in the trials ends after about `trials_s`. Raises the SixfoldError that stops the trial.
    """
    rows, part_s = training.table.rows, trials_s / 3
    least = min(rows, TRIAL_ROWS)
    low = _trial(candidate, training, least, seed, part_s)
    if low.once_s + low.fit_s < part_s:
        low = _trial(candidate, training, least, seed, part_s)  # the first one takes more: imports, threads
    most = _larger(candidate, rows, low, part_s)
    high = _trial(candidate, training, most, seed, part_s) if most > least else low

    def line(low: float, high: float, at: int) -> float:
        return max(low, high) + (max(0.0, high - low) / (most - least) * (at - most) if most > least else 0.0)

    sizes = [len(fold.train) for fold in folds]
    disk = sum(line(low.model_bytes, high.model_bytes, size) for size in (*sizes, rows))
    folds_s = sum(line(low.whole_s, high.whole_s, size) for size in sizes)
    stop = candidate.train.stop
    may_stop = any(limit is not None for limit in (stop.patience, stop.target, stop.gradient_norm))
    return Forecast(
        candidate.name, folds_s, line(low.whole_s, high.whole_s, rows), memory(candidate, training, folds, seed),
        round(disk + 8 * rows * training.target.outputs), most, low.cut or high.cut or (most == least < rows),
        may_stop and isinstance(candidate.family, GradientFamily),
    )  # fmt: skip


def _larger(candidate: Candidate, rows: int, low: Trial, part_s: float) -> int:
    """Rows of the second trial: so few that what has no deadline ends in `part_s`, were its time quadratic in the rows."""
    ends_in_time = isinstance(candidate.family, GradientFamily | Interruptible)
    endless_s = low.once_s + (0.0 if ends_in_time else low.fit_s)
    wanted = max(4 * TRIAL_ROWS, min(rows // 20, MOST_TRIAL_ROWS))
    return max(low.rows, min(rows, wanted, int(low.rows * (part_s / max(endless_s, 1e-9)) ** 0.5)))


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
        # What a few rows cannot show, the folds will say of all rows.
        with contextlib.suppress(DataError, RecipeError):
            check_memory(candidate.name, memory(candidate, training, folds, candidate.initialize.seed), budget)


def disk_bytes(found: Sequence[Forecast], trials: int | None = None, again: float = 0.0) -> int:
    """Bytes that all stages will leave; of a search as many trials as it has, each like the mean of its corners. An outer
    fold (`again` as in `in_words`) takes as much once more while it is in work.
    """
    return round(sum(one.disk_bytes for one in found) * _times(found, trials) * (2 if again else 1))


def _times(found: Sequence[Forecast], trials: int | None) -> float:
    return 1.0 if trials is None else trials / max(1, len(found))


def in_words(found: Sequence[Forecast], budget: Budget, trials: int | None = None, again: float = 0.0) -> list[str]:
    """Sentences: each candidate, the sum, and what a budget of time will do. `trials`: of a search, of whose space `found`
    are corners. `again`: rows of all outer folds, in multiples of the training rows: they go through all of it again.
    """
    if not found:
        return []
    once_s = sum(one.folds_s for one in found) * _times(found, trials) + max(one.refit_s for one in found)
    time_s = once_s * (1.0 + again)
    said = [
        f"forecast {one.candidate}: {_least(one.at_least)}{show_seconds(one.folds_s)} on the folds, "
        f"{_least(one.at_least)}{show_seconds(one.refit_s)} on all rows, {show_bytes(one.memory_bytes)} of memory"
        + ("; if training goes on to the last epoch" if one.may_stop else "")
        for one in found
    ]
    cut = any(one.at_least for one in found)
    error = "trials that took too long were cut" if cut else f"within a factor of {TIME_ERROR:g}"
    said.append(
        f"forecast: {_least(cut)}{show_seconds(time_s)} to train{', outer folds included' if again else ''}, "
        f"compression not counted ({error}); "
        f"{show_bytes(max(one.memory_bytes for one in found))} of memory (within a third); "
        f"{_least(cut)}{show_bytes(disk_bytes(found, trials, again))} of disk; "
        f"tried on {max(one.tried for one in found):,} rows"
    )
    if budget.time and seconds(budget.time) < once_s:
        said.append(
            f"warning: budget.time {budget.time} may not be enough: networks will be cut short, solvers left out; "
            "raise it, or take fewer candidates or folds"
        )
    elif budget.time and seconds(budget.time) < time_s:
        said.append(
            f"warning: budget.time {budget.time} may not be enough for evaluate.nested, which is left out then: raise it, or "
            "take fewer outer folds"
        )
    return said


def _least(cut: bool) -> str:
    return "at least " if cut else ""


def forecasts(
    candidates: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget
) -> tuple[list[Forecast], list[SixfoldError]]:
    """Those of all candidates, and the errors of trials that failed and of memory that is not there."""
    found: list[Forecast] = []
    failed: list[SixfoldError] = []
    for candidate in candidates:
        try:
            trials_s = min(TRIALS_S, ALL_TRIALS_S / len(candidates))
            found.append(forecast(candidate, training, folds, candidate.initialize.seed, trials_s))
            check_memory(candidate.name, found[-1].memory_bytes, budget)
        except SixfoldError as error:
            failed.append(error)
    return found, failed


def _some(training: Dataset, count: int) -> IntArray:
    """`count` rows, sorted: evenly spaced in the order of the target, so that classes have their shares."""
    values = training.target.values.reshape(training.table.rows, -1)[:, 0]
    order = np.argsort(values, kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)]).astype(np.int64)


def _trial(candidate: Candidate, training: Dataset, count: int, seed: int, part_s: float) -> Trial:
    """`count` training rows prepared, trained on for about `part_s`, predicted; networks for `TRIAL_EPOCHS` at most."""
    epochs = candidate.train.epochs
    few = candidate.train.model_copy(update={"epochs": min(epochs, TRIAL_EPOCHS), "report_every": 1})
    candidate = replace(candidate, train=few)
    trained, cut, tested_s = few.epochs, False, 0.0

    def listen(kind: str, facts: dict[str, Any]) -> None:
        nonlocal trained, cut, tested_s
        trained = facts["epoch"] if kind == "epoch" else trained
        tested_s += facts["took_s"] if kind == "range_tested" else 0.0  # before the first epoch, and not in each
        cut = cut or bool(facts.get("cut"))

    some, context, started = training.take(_some(training, count)), Context(seed=seed), time.monotonic()
    prepared = prepare_rows(candidate, some, context)
    begun = time.monotonic()
    context = replace(context, emit_to=listen, deadline=begun + part_s)
    model = calibrate(candidate, fit_prepared(candidate, prepared, some.target, context), some, context)
    done = time.monotonic()
    model.predict(some.table)
    once_s, fit_s = begun - started + time.monotonic() - done, done - begun
    all_s = tested_s + (fit_s - tested_s) * epochs / trained if isinstance(candidate.family, GradientFamily) else fit_s
    ends_in_time = isinstance(candidate.family, GradientFamily | Interruptible)
    cut = cut or (ends_in_time and context.left_s() <= 0)
    return Trial(count, once_s, fit_s, all_s, float(state.size_bytes(model)), cut)
