"""What is refused before anything is trained: one list of rules. `run` obeys the first one broken,
`check` tells all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from sixfold.build.candidate import Candidate, fits_of
from sixfold.build.family import TrainsInRanks
from sixfold.core.cores import cores, planned_for
from sixfold.core.errors import DataError, FitError, RecipeError, SixfoldError
from sixfold.core.units import seconds
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.deciding import Defaults
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import prepare_rows, watch_of
from sixfold.evaluate.nested import divide
from sixfold.evaluate.questions import read_questions
from sixfold.parts.table import Dataset, FloatArray, IntArray
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.plan.constraints import check_constraints
from sixfold.plan.forecast import check_disk
from sixfold.plan.limits import MemoryBounds, Placed, Work, check_plan, groups, place
from sixfold.plan.machines import Machine
from sixfold.plan.memory import Size
from sixfold.plan.proposals import Proposer
from sixfold.plan.trials import some
from sixfold.prepare.plan import check_columns, over_all, treatments
from sixfold.recipe.kinds import METRIC
from sixfold.recipe.schema import Recipe
from sixfold.recipe.signature import excess, utf8_bytes
from sixfold.runs.context import Context
from sixfold.train.device import device_of

TRIED_ROWS = (
    500  # that a preparation is tried on: what a method asks of a column shows in a few rows
)
MOST_GAPS = 1_000  # columns of which a row with a missing value is among them


@dataclass
class Planning:
    """A recipe, its training rows, and what follows from both, each worked out once; or the mistake
    that hinders it. `machine`: another one than this.
    """

    recipe: Recipe
    training: Dataset
    machine: Machine | None = None
    _sizes: dict[str, Size | None] = field(default_factory=dict, init=False)

    @cached_property
    def chosen(self) -> Defaults:
        """The metrics, and why where Sixfold chose them. Raises RecipeError; without named ones,
        what `folds` raises.
        """
        return metrics_of(
            self.recipe, self.training, None if self.recipe.evaluate.metrics else self.folds
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """The first one decides. Raises what `chosen` raises."""
        return self.chosen.names

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Raises RecipeError or DataError."""
        return tuple(make(self.recipe.evaluate, self.training))

    @cached_property
    def baseline(self) -> dict[str, FloatArray]:
        """Metric → [folds] of a model that ignores the columns. Raises RecipeError."""
        return baseline(self.training, self.folds, self.metrics)

    @cached_property
    def again(self) -> float:
        """Rows of all outer folds, in multiples of the training rows. Raises DataError or
        RecipeError.
        """
        return divide(self.recipe.evaluate, self.training, self.metrics)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them; of a search the corners of what it may try. Raises RecipeError or
        FitError.
        """
        recipe = self.recipe
        if recipe.evaluate.search is not None:
            return tuple(Proposer(recipe, self.training).samples())
        time_s = (
            seconds(recipe.budget.time) if recipe.budget.time else None
        )  # the run's, of an outer fold, too
        return tuple(
            resolve(recipe, self.training, time_s, self.folds if recipe.build == "auto" else None)
        )

    @property
    def device(self) -> str:
        """Where networks train."""
        if self.machine is None:
            return self.recipe.budget.device
        return "cuda" if self.machine.accelerators else "cpu"

    @property
    def room(self) -> MemoryBounds:
        """What there is of memory: the budget's, or the machine's."""
        return MemoryBounds.of(self.recipe.budget, self.machine, self.device)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Candidates that are trained as one, and the memory that they need, with the strategies of
        `budget.strategy: auto`; without those of whose features a few rows say nothing.
        """
        room, auto = self.room, self.recipe.budget.strategy == "auto"
        found = []
        with planned_for(cores() if self.machine is None else self.machine.cores):
            for alike in groups(self.candidates):
                ranks = self.recipe.budget.data_parallel
                work = Work(alike, self.training, self.folds, self.device, ranks)
                size = self._size(work)
                if size is not None:
                    found.append(place(work, size, room, auto))
        return tuple(found)

    @property
    def as_trained(self) -> tuple[Candidate, ...]:
        """The candidates, each with its strategy."""
        chosen = {one.name: one for group in self.placed for one in group.work.alike}
        return tuple(chosen.get(one.name, one) for one in self.candidates)

    def _size(self, work: Work) -> Size | None:
        """Of equal preparations the same."""
        first = work.alike[0]
        key = repr((first.prepare, first.family.needs, first.initialize.seed))
        if key not in self._sizes:
            try:
                self._sizes[key] = work.size()
            except (DataError, RecipeError):  # what a few rows cannot show, the folds will say
                self._sizes[key] = None
        return self._sizes[key]

    def checked(self) -> Planning:
        """Itself. Raises the first violation."""
        for rule in RULES:
            rule(self)
        return self

    def violations(self) -> list[SixfoldError]:
        """All of them, each once: a rule that asks for what another found impossible has nothing to
        add.
        """
        found: dict[str, SixfoldError] = {}
        for rule in RULES:
            try:
                rule(self)
            except SixfoldError as error:
                found.setdefault(str(error), error)
        return list(found.values())


def device_exists(plan: Planning) -> None:
    """This machine has what `budget.device` names; of another one its name says so."""
    if plan.machine is None:
        device_of(plan.recipe.budget.device)


def metrics_are_of_the_task(plan: Planning) -> None:
    """Accuracy is for classes, RMSE for values."""
    _ = plan.metrics


def rows_can_be_divided(plan: Planning) -> None:
    """There are enough rows, rows of each class, groups and moments."""
    _ = plan.folds


def outer_rows_can_be_divided(plan: Planning) -> None:
    """The same for `evaluate.nested`."""
    _ = plan.again


def first_metric_is_defined(plan: Planning) -> None:
    """On the validation rows of every fold."""
    _ = plan.baseline


def kept_metrics_are_measured(plan: Planning) -> None:
    """`compress.keep` names metrics that are, and allows them to get worse."""
    scoring.check_changes(plan.recipe.compress.keep if plan.recipe.compress else {}, plan.metrics)


def questions_can_be_read(plan: Planning) -> None:
    """Of `report.questions`; asked of a language model alone."""
    file = plan.recipe.report.questions
    if file is None:
        return
    if plan.training.target.task != "generation":
        expected, remedy = "the task generation, for questions", "Leave them out."
        raise RecipeError("report.questions", expected, plan.training.target.task, remedy)
    read_questions(Path(file))


def named_columns_are_there(plan: Planning) -> None:
    """Under `prepare`."""
    check_columns(plan.recipe.prepare, plan.training.table)


def candidates_can_be_made(plan: Planning) -> None:
    """Their options agree with each other and with the task, and their networks can start to
    learn.
    """
    _ = plan.candidates


def methods_fit_their_columns(plan: Planning) -> None:
    """What prepares a column takes its type."""
    list(over_all(plan.recipe.prepare.features))
    for candidate in _each_preparation(plan):
        treatments(plan.recipe.prepare, candidate.family.needs, plan.training.table)


def constraints_can_hold(plan: Planning) -> None:
    """Columns with which a prediction only rises or falls are numbers whose order preparation keeps; of
    more than two classes no probability rises without others.
    """
    for candidate in plan.candidates:
        check_constraints(candidate, plan.recipe.prepare, plan.training)


def watched_metric_is_of_the_task(plan: Planning) -> None:
    """`train.stop.metric`, where a network is trained."""
    for candidate in plan.candidates:
        if candidate.family.trained_by_the_loop:
            watch_of(candidate, plan.training.target)


def first_metric_scores_a_candidate(plan: Planning) -> None:
    """A family that only decides has no log loss; of all candidates one at least must have a
    score.
    """
    metric, names = plan.metrics[0], [candidate.name for candidate in plan.candidates]
    if (
        METRIC.load(metric).needs in scoring.POSSIBLE["decision"]
        or plan.training.target.task != "classification"
    ):
        return
    if not all(
        one.family.decides and one.calibration.calibrate == "none" for one in plan.candidates
    ):
        return
    raise RecipeError(
        "evaluate.metrics",
        "a first metric that scores at least one candidate",
        f"'{metric}', which needs probabilities, and {', '.join(names[:3])} without them",
        "Put another metric first, add a family with probabilities, or write evaluate: {calibrate: platt}.",
    )


def preparations_suit_the_data(plan: Planning) -> None:
    """No gaps, or too many columns, for a method that takes none. What only all rows can tell is no
    violation here.
    """
    rows = plan.training.take(_telling(plan.training))
    for candidate in _each_preparation(plan):
        try:
            prepare_rows(candidate, rows, Context(seed=candidate.initialize.seed))
        except (DataError, FitError):
            continue


def signature_can_be_written(plan: Planning) -> None:
    """Its columns, classes and levels are as many as a bundle may have."""
    table, target = plan.training.table, plan.training.target
    levels = [
        level
        for column in table.columns.values()
        if column.kind == "category"
        for level in column.levels
    ]
    answers = target.classes if target.task == "classification" else target.names
    size = utf8_bytes((*levels, *table.columns, *answers))
    if found := excess((len(table.columns), len(answers), len(levels), size)):
        raise DataError(
            "data.source",
            *found,
            "Leave out columns with data.drop, or set their type with data.types: {COLUMN: identifier}.",
        )


def processes_have_cores(plan: Planning) -> None:
    """Of `budget.data_parallel`: one at least for each."""
    asked = plan.recipe.budget.data_parallel
    there = cores() if plan.machine is None else plan.machine.cores
    if asked > there:
        raise RecipeError(
            "budget.data_parallel",
            f"at most a process for each core, of which there are {there}",
            f"{asked}",
            "Lower it: more processes than cores wait for each other.",
        )


def batches_can_be_divided(plan: Planning) -> None:
    """Among the processes of `budget.data_parallel`, for every candidate."""
    ranks = plan.recipe.budget.data_parallel
    if ranks == 1:
        return
    for candidate in plan.candidates:
        if not isinstance(candidate.family, TrainsInRanks):
            raise RecipeError(
                "budget.data_parallel",
                "networks alone, whose batches can be divided",
                f"{candidate.name}, whose solver has none",
                "Leave it out, or name networks in build.",
            )
    for group in plan.placed:
        size = group.placement.size
        family = group.work.alike[0].family
        if isinstance(family, TrainsInRanks):
            family.check_division(fits_of(group.work.alike, [size.few]), size.rows, ranks)


def memory_suffices(plan: Planning) -> None:
    """For every candidate, were its forecast a third too high; with `strategy: auto` by some strategy."""
    check_plan(plan.placed, plan.room)


def disk_suffices(plan: Planning) -> None:
    """For the folds of one candidate at least."""
    check_disk(plan.candidates, plan.training, plan.folds, plan.recipe.budget)


RULES: Final[tuple[Callable[[Planning], None], ...]] = (
    device_exists,
    metrics_are_of_the_task,
    rows_can_be_divided,
    outer_rows_can_be_divided,
    kept_metrics_are_measured,
    candidates_can_be_made,
    questions_can_be_read,
    named_columns_are_there,
    methods_fit_their_columns,
    constraints_can_hold,
    watched_metric_is_of_the_task,
    signature_can_be_written,
    first_metric_is_defined,
    first_metric_scores_a_candidate,
    preparations_suit_the_data,
    processes_have_cores,
    batches_can_be_divided,
    memory_suffices,
    disk_suffices,
)


def _each_preparation(plan: Planning) -> Iterator[Candidate]:
    """The first candidate of each way to prepare rows."""
    yield from {
        repr(candidate.family.needs): candidate for candidate in reversed(plan.candidates)
    }.values()


def _telling(training: Dataset) -> IntArray:
    """A few rows, and of each column one with a missing value where there is any."""
    gaps = [
        int(np.argmax(missing))
        for column in training.table.columns.values()
        if (missing := column.missing()).any()
    ]
    few = some(training, min(training.table.rows, TRIED_ROWS))
    return np.union1d(few, np.array(gaps[:MOST_GAPS], dtype=np.int64))
