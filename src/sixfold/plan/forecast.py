"""A plan before the start: what a run will take, from trials of every candidate on a few rows.

Time is a straight line through two trials; it was right within a factor of three (`TIME_ERROR`). A
network is trained for a few epochs, whose time stands for all of them; what else would take long is
cut short, and the forecast says "at least". Folds of a network, and candidates that are alike,
train as one: one more trial does so, and says how many single fits that takes as long as. Memory is
what the process holds now and what features, their copies, the folds' tables and the networks that
train as one will add; it is right within a third (`MEMORY_ERROR`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sixfold.build.candidate import Candidate
from sixfold.bundle.explain.report_limits import explaining_s
from sixfold.core.errors import BudgetError, SixfoldError
from sixfold.core.units import seconds, show_bytes, show_seconds, size_bytes
from sixfold.evaluate import shuffling
from sixfold.evaluate.fold import Fold
from sixfold.parts.modality import is_modality
from sixfold.parts.table import Dataset
from sixfold.plan.limits import check_memory, groups
from sixfold.plan.memory import TRIAL_ROWS, Stacks, needs_of, sizes, stacks_of
from sixfold.plan.trials import CandidateTrial, together_s, trial
from sixfold.recipe.budget import Budget
from sixfold.runs.context import Context

MOST_TRIAL_ROWS = 20_000
# Seconds of training in the trials of one candidate, and of all of them: guessed, what one likes to
# wait for.
TRIALS_S, ALL_TRIALS_S = 10.0, 60.0
# Time seen over forecast: 0.4 to 1.5 (bench/forecast.py: 16 workloads, one core; boosting that
# stops early is the 0.4), a million rows 0.3 (forecast beside another job). Memory is held by a
# test.
TIME_ERROR = 3.0
BESIDE_BYTES = 16_384  # of events and manifests, at least
DISK_ROWS, DISK_TRIAL_S = 2_000, 1.0  # of a trial that only shows how large a model is; guessed


@dataclass(frozen=True)
class Forecast:
    """What one candidate will take on all folds and in the last training. `tried`: rows of the
    larger trial.

    `at_least`: a trial was cut short, so that all of it takes longer. `may_stop`: the time is that
    of all epochs, and training may stop before the last one. `shuffle_s`: of the report, for which
    the folds' models are asked once a column, and the served one to explain it. `rank_bytes`: of another
    process that trains it, too.
    """

    candidate: str
    folds_s: float
    refit_s: float
    memory_bytes: int
    disk_bytes: int
    tried: int
    at_least: bool = False
    may_stop: bool = False
    shuffle_s: float = 0.0
    rank_bytes: int = 0


def forecast(
    candidate: Candidate,
    training: Dataset,
    folds: Sequence[Fold],
    context: Context,
    trials_s: float = TRIALS_S,
    alike: Sequence[Candidate] = (),
) -> Forecast:
    """Prepare, train and save `candidate` on a few training rows, and draw the line to all of them.

    `context`: its seed, and where networks train. `alike`: who is trained with it as one piece of
    work, itself included; the time on the folds is its part of that. Training in the trials ends
    after about `trials_s`. Raises the SixfoldError that stops the trial.
    """
    alike, rows = alike or (candidate,), training.table.rows
    size = sizes(candidate, training, folds, context)
    stacks = stacks_of(alike, size, len(folds))
    setting = TrialSetting(training, context, trials_s / (4 if stacks.replicas > 1 else 3))
    tried = _two_trials(candidate, setting)
    low, high = tried
    fits = _single_fits(alike, stacks, len(folds), tried, setting)
    trains = [len(fold.train) for fold in folds]
    folds_s = sum(
        tried.line(low.once_s, high.once_s, at) + tried.trained_s(at) * fits / len(folds)
        for at in trains
    )
    disk = sum(tried.line(low.model_bytes, high.model_bytes, at) for at in (*trains, rows))
    needs = needs_of(alike, training, len(folds), size, stacks, context.device)
    return Forecast(
        candidate=candidate.name,
        folds_s=folds_s,
        refit_s=tried.line(low.whole_s, high.whole_s, rows),
        memory_bytes=needs.host_bytes,
        disk_bytes=round(disk + 8 * rows * training.target.outputs),
        tried=high.rows,
        at_least=low.cut or high.cut or (high.rows == low.rows < rows),
        may_stop=_may_stop(candidate),
        shuffle_s=_report_s(training, folds, high.predict_s / high.rows),
        rank_bytes=needs.in_ranks(2, candidate.strategy.shard).host_bytes - needs.host_bytes,
    )


class TrialSetting(NamedTuple):
    """On what rows trials are made, where, and for about how long each trains."""

    training: Dataset
    context: Context
    part_s: float


class TwoTrials(NamedTuple):
    """Of a candidate: of few rows, and of more or of as many."""

    low: CandidateTrial
    high: CandidateTrial

    def line(self, low: float, high: float, rows: int) -> float:
        """What so many rows take where the trials took `low` and `high`: never less than either."""
        most, more = self.high.rows, self.high.rows - self.low.rows
        grown = max(0.0, high - low) / more * (rows - most) if more > 0 else 0.0
        return max(low, high) + grown

    def trained_s(self, rows: int) -> float:
        """Seconds of training on so many rows."""
        return self.line(self.low.all_s, self.high.all_s, rows)


def _two_trials(candidate: Candidate, setting: TrialSetting) -> TwoTrials:
    training, context, part_s = setting
    rows = training.table.rows
    least = min(rows, TRIAL_ROWS)
    low = trial(candidate, training, least, context, part_s)
    if low.once_s + low.fit_s < part_s:  # the first one takes more: imports, threads
        low = trial(candidate, training, least, context, part_s)
    most = _larger(candidate, rows, low, part_s)
    high = trial(candidate, training, most, context, part_s) if most > least else low
    return TwoTrials(low, high)


def _report_s(training: Dataset, folds: Sequence[Fold], row_s: float) -> float:
    """What the report asks of the folds' models, and of the served one where that is a graph."""
    kinds = [column.kind for column in training.table.columns.values()]
    shuffled_s = len(kinds) * shuffling.rows_asked(folds) * row_s
    if training.target.task in ("generation", "recommendation", "transcription"):
        return shuffled_s
    plain = sum(not is_modality(kind) for kind in kinds)
    return shuffled_s + explaining_s(plain, plain < len(kinds), row_s)


def _may_stop(candidate: Candidate) -> bool:
    """Whether its training may end before its last epoch."""
    stop = candidate.train.stop
    limits = (stop.patience, stop.target, stop.gradient_norm)
    return candidate.family.trained_by_the_loop and any(limit is not None for limit in limits)


def _single_fits(
    alike: Sequence[Candidate], stacks: Stacks, folds: int, tried: TwoTrials, setting: TrialSetting
) -> float:
    """How many single fits take as long as one candidate's part of all folds: as many as there are
    folds, or less, as one more trial shows.
    """
    if stacks.replicas == 1:
        return float(folds)
    training, context, part_s = setting
    high, group = tried.high, alike[: stacks.replicas]
    in_time = min(1.0, part_s / (stacks.replicas * high.fit_s + 1e-9))
    rows = max(min(high.rows, TRIAL_ROWS), int(high.rows * in_time))
    fits = stacks.replicas // len(group)
    took_s = together_s(group, fits, training, rows, context, part_s)
    if took_s is None:
        return float(folds)
    # what one more in the stack adds
    each = max(0.0, took_s / tried.trained_s(rows) - 1.0) / max(1, len(group) * fits - 1)
    return sum(1.0 + each * (count - 1) for count in stacks.parts(folds, len(alike))) / len(alike)


def _larger(candidate: Candidate, rows: int, low: CandidateTrial, part_s: float) -> int:
    """Rows of the second trial: so few that what has no deadline ends in `part_s`, were its time
    quadratic in the rows.
    """
    endless_s = low.once_s + (0.0 if candidate.family.ends_in_time else low.fit_s)
    wanted = max(4 * TRIAL_ROWS, min(rows // 20, MOST_TRIAL_ROWS))
    return max(low.rows, min(rows, wanted, int(low.rows * (part_s / max(endless_s, 1e-9)) ** 0.5)))


def check_disk(
    candidates: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget
) -> None:
    """Raises BudgetError when the folds of no candidate fit into the budget's disk. Tried on a few
    rows until one does: a model of more rows takes as much, or more.
    """
    if not budget.disk:
        return
    most, least = size_bytes(budget.disk), list[int]()
    for alike in groups(candidates):
        least.append(_stage_bytes(alike, training, folds))
        if least[-1] <= most:
            return
    if least:
        raise BudgetError(
            "budget.disk",
            f"at least {show_bytes(min(least))}, which the folds of the smallest candidate take",
            f"at most {show_bytes(most)}",
            "Raise budget.disk, or take smaller candidates or fewer rows.",
        )


def _stage_bytes(alike: Sequence[Candidate], training: Dataset, folds: Sequence[Fold]) -> int:
    """Bytes of what candidates leave that are trained as one: an answer for every validation row,
    and a model a fold.
    """
    first, rows = alike[0], min(training.table.rows, DISK_ROWS)
    answers = 8 * training.target.outputs * sum(len(fold.validation) for fold in folds)
    try:
        model = trial(
            first, training, rows, Context(seed=first.initialize.seed), DISK_TRIAL_S
        ).model_bytes
    except SixfoldError:  # what a few rows cannot show, the folds will say of all rows
        model = 0.0
    return int(len(alike) * (answers + len(folds) * model)) + BESIDE_BYTES


def disk_bytes(found: Sequence[Forecast], trials: int | None = None, again: float = 0.0) -> int:
    """Bytes that all stages will leave; of a search as many trials as it has, each like the mean of
    its corners. An outer fold (`again` as in `describe`) takes as much once more while it is in
    work.
    """
    return round(sum(one.disk_bytes for one in found) * _times(found, trials) * (2 if again else 1))


def _times(found: Sequence[Forecast], trials: int | None) -> float:
    return 1.0 if trials is None else trials / max(1, len(found))


def describe(
    found: Sequence[Forecast], budget: Budget, trials: int | None = None, again: float = 0.0
) -> list[str]:
    """Sentences: each candidate, the sum, and what a budget of time will do. `trials`: of a search,
    of whose space `found` are corners. `again`: rows of all outer folds, in multiples of the
    training rows: they go through all of it again.
    """
    if not found:
        return []
    once_s = sum(one.folds_s for one in found) * _times(found, trials) + max(
        one.refit_s for one in found
    )
    time_s = once_s * (1.0 + again)
    notes = [
        f"forecast {one.candidate}: {_least(one.at_least)}{show_seconds(one.folds_s)} on the folds, "
        f"{_least(one.at_least)}{show_seconds(one.refit_s)} on all rows, {show_bytes(one.memory_bytes)} of memory"
        + ("; if training goes on to the last epoch" if one.may_stop else "")
        for one in found
    ]
    cut = any(one.at_least for one in found)
    error = "trials that took too long were cut" if cut else f"within a factor of {TIME_ERROR:g}"
    notes.append(
        f"forecast: {_least(cut)}{show_seconds(time_s)} to train{', outer folds included' if again else ''}, "
        f"compression not counted ({error}); "
        f"{show_bytes(max(one.memory_bytes for one in found))} of memory (within a third); "
        f"{_least(cut)}{show_bytes(disk_bytes(found, trials, again))} of disk; "
        f"tried on {max(one.tried for one in found):,} rows"
    )
    if budget.time and seconds(budget.time) < once_s:
        notes.append(
            f"warning: budget.time {budget.time} may not be enough: networks will be cut short, solvers left out; "
            "raise it, or take fewer candidates or folds"
        )
    elif budget.time and seconds(budget.time) < time_s:
        notes.append(
            f"warning: budget.time {budget.time} may not be enough for evaluate.nested, which is left out then: raise it, or "
            "take fewer outer folds"
        )
    return notes


def _least(cut: bool) -> str:
    return "at least " if cut else ""


def forecasts(
    candidates: Sequence[Candidate], training: Dataset, folds: Sequence[Fold], budget: Budget
) -> tuple[list[Forecast], list[SixfoldError]]:
    """Those of all candidates, and the errors of trials that failed and of memory that is not
    there.
    """
    found: list[Forecast] = []
    failed: list[SixfoldError] = []
    works = groups(candidates)
    trials_s = min(TRIALS_S, ALL_TRIALS_S / max(1, len(works)))
    while works:
        alike = works.pop(0)
        first = alike[0]
        try:
            whole = forecast(
                first,
                training,
                folds,
                Context(seed=first.initialize.seed, device=budget.device),
                trials_s,
                alike,
            )
            others = (budget.data_parallel - 1) * whole.rank_bytes
            whole = replace(whole, memory_bytes=whole.memory_bytes + others)
            found += [replace(whole, candidate=one.name) for one in alike]
            check_memory(first.name, whole.memory_bytes, budget)
        except SixfoldError as error:
            if len(alike) > 1 and not isinstance(
                error, BudgetError
            ):  # each alone, to see who of them it was
                works = [[one] for one in alike] + works
            else:
                failed.append(error)
    return found, failed
