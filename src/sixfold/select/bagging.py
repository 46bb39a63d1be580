"""The winner's fold models as one (bagging), where their mean validates better than the winner trained
again on all rows.

Each training row was seen by all fold models but one, and by a model of all rows: neither can be scored
on it. So the two are compared one size smaller. On the rows of a fold, the fold's own model stands for the
winner trained again: it knows all other folds. The mean of models that know one fold less, each another
one, stands for the bag. A model without folds i and j answers for the rows of both. What averaging gains, and what
the rows of one fold do, is then taken for the rows that are served (`Bag.is_better`).

Breiman, Bagging predictors (1996); of fold models: Krogh and Vedelsby (1995).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from sixfold.build.auto import is_plain_table
from sixfold.core.errors import BudgetError, DataError, FitError
from sixfold.core.units import show_seconds
from sixfold.evaluate import scoring, thresholds
from sixfold.evaluate.cross_validation import FoldScores, Group, evaluate_folds
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_cache import FoldCache
from sixfold.evaluate.folds import are_parts
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, FloatArray
from sixfold.plan.run_context import DataSplit, Plan, RunContext, stage_key
from sixfold.runs.budget import WORK_SHARE
from sixfold.runs.context import Context
from sixfold.select import ensemble
from sixfold.select.ensemble import Blend, ChosenMembers
from sixfold.select.served_limits import SPENT, ServedLimits

SHARE: Final = 0.2  # of the time, that a search leaves for the comparison at most: guessed


class Bag(NamedTuple):
    """`models` of `folds` fold models of each member, as one. By `metric`, on rows that were not seen: `score`
    of a mean of models without two folds, `few` of one of these, `alone` of one without one fold.
    `threshold`: of the mean, where one is asked for.
    """

    models: int
    folds: int
    metric: str
    score: float
    few: float
    alone: float
    threshold: float | None

    @property
    def is_better(self) -> bool:
        """Whether averaging gains more than the rows of one fold do, both for as many rows as are served: errors
        that many rows would not end, and others that fall as 1 / rows. Not where it gains as much, for
        one model is smaller and faster.
        """
        sign = 1.0 if scoring.greater_is_better(self.metric) else -1.0
        averaged, more_rows = sign * (self.score - self.few), sign * (self.alone - self.few)
        compared = min(self.models, self.folds - 1)
        more_models = (1 - 1 / self.models) / (1 - 1 / compared)
        return round(averaged * self.folds / (self.folds - 1) * more_models - more_rows, 12) > 0

    def describe(self) -> str:
        """What was found."""
        return (
            f"On rows that none has seen the mean of models without two folds scored {self.score:.4f} by {self.metric}, one "
            f"of them {self.few:.4f}, a model without one fold {self.alone:.4f}."
        )


class BagStage(NamedTuple):
    """`attempt`: as in `refit`; `needed_s`: what training the winner again is expected to take."""

    attempt: int
    needed_s: float


class FoldPair(NamedTuple):
    """Two folds that a model has seen nothing of."""

    first: int
    second: int


def is_wanted(run: RunContext, data: DataSplit, plan: Plan) -> bool:
    """As the recipe says; where it does not, after a portfolio, if nothing is compressed: a bag would not be."""
    recipe = run.loaded.recipe
    asked = recipe.evaluate.bag
    if asked is None:
        plain = recipe.compress is None and is_plain_table(data.training)
        asked = recipe.has_portfolio and plain
    return asked and are_parts(plan.folds, data.training.table.rows)


def compared_s(needed_s: float, folds: int) -> float:
    """Seconds of the comparison, where training the winner on all rows takes `needed_s`."""
    return needed_s * folds * (folds - 1) / 2 * (folds - 2) / folds


def decide(
    run: RunContext, data: DataSplit, plan: Plan, members: ChosenMembers, stage: BagStage
) -> Bag | None:
    """The bag, where it validates better than the members trained again, and can be compared in time; else None.
    Raises BudgetError inside of an outer fold where there is no time: that would be another choice.
    """
    wanted = is_wanted(run, data, plan) and members.parts[0].output != "decision"
    if not wanted:
        return None
    limits = ServedLimits.of(run.loaded.recipe.budget)
    models = most_models(members, len(plan.folds)) if limits.asked else len(plan.folds)
    if models < 2:
        text = f"No mean of fold models: two of them take more than {SPENT:.0%} of budget.bundle or budget.latency."
        run.context.emit("note", text=text)
        return None
    try:
        found = _decided(run, data, plan, members, stage, models)
    except BudgetError as error:
        if run.inside:
            raise
        run.context.emit("note", text=f"No mean of fold models is compared: {error}", cut=True)
        return None
    except (DataError, FitError) as error:
        run.context.emit("note", text=f"No mean of fold models is compared: {error}")
        return None
    mean = f"The mean of {found.models} fold models is served"
    served = mean if found.is_better else "The winner is trained again on all rows"
    run.context.emit("note", text=f"{found.describe()} {served}.")
    return found if found.is_better else None


def most_models(members: ChosenMembers, folds: int) -> int:
    """Fold models of each member that keep SPENT of each limit together; `folds` at most."""
    if not all(one.shares for one in members.parts):
        return 0
    taken = np.array([one.shares for one in members.parts]).sum(axis=0).max()
    return int(min(folds, SPENT // taken))


def combined(members: ChosenMembers, bag: Bag) -> Model:
    """The fold models as one."""
    models = [part.models[at] for part in members.parts for at in range(bag.models)]
    weights = [weight / bag.models for weight in members.blend.weights for _ in range(bag.models)]
    return ensemble.combine(models, Blend(tuple(weights), bag.threshold))


def _decided(
    run: RunContext,
    data: DataSplit,
    plan: Plan,
    members: ChosenMembers,
    stage: BagStage,
    models: int,
) -> Bag:
    """A stage of the run. Raises BudgetError, DataError, FitError."""
    name = f"{run.inside}bag" + (f"-{stage.attempt}" if stage.attempt else "")
    with run.folder.stage(name, stage_key(run, data, f"{members.key} {models}")) as place:
        if place.aside is not None:
            context = replace(
                run.context.within("bag"),
                emit_to=_uncut,
                deadline=_end(run, plan, stage.needed_s),
            )
            found = compared(data.training, plan, members, models, context)
            (place.aside / "bag.json").write_text(json.dumps(found), encoding="utf-8")
    return Bag(*json.loads((place.folder / "bag.json").read_text(encoding="utf-8")))


def _end(run: RunContext, plan: Plan, needed_s: float) -> float | None:
    """When it has to end, so that the winner can be trained again. Raises BudgetError where it would not."""
    last = run.limits.deadline(WORK_SHARE)
    if last is None:
        return None
    end, expected_s = last - needed_s, compared_s(needed_s, len(plan.folds))
    left_s = end - time.monotonic()
    if expected_s > left_s:
        raise BudgetError(
            "budget.time",
            f"time to compare it, which is expected to take {show_seconds(expected_s)}",
            f"{show_seconds(max(0.0, left_s))} left",
            "Raise budget.time.",
        )
    return end


def compared(
    training: Dataset, plan: Plan, members: ChosenMembers, models: int, context: Context
) -> Bag:
    """What a mean of `models` fold models scores on rows that they have not seen, beside one model. Raises
    BudgetError, DataError, FitError.
    """
    pairs = pairs_of(len(plan.folds), models)
    folds = [_without(plan.folds, pair, training) for pair in pairs]
    cache, known = FoldCache(), list[FloatArray]()
    for number, candidate in enumerate(members.candidates):
        own = context.within(candidate=candidate.name)
        if context.deadline is not None:
            part_s = context.left_s() / (len(members.candidates) - number)
            own = replace(own, deadline=time.monotonic() + part_s)
        group = Group((candidate,), training, folds, own, cache)
        (found,) = evaluate_folds(group, range(len(folds)), plan.metrics)
        steps = min(models, len(plan.folds) - 1)
        known.append(np.full((steps, *members.parts[0].predictions.shape), np.nan))
        for at, fold in enumerate(plan.folds):
            places = _of(pairs, at, len(plan.folds), models)
            known[-1][:, fold.validation] = _answers(found, folds, fold, places)
    answers = Answers(np.full_like(known[0], np.nan), np.full_like(known[0][0], np.nan))
    for fold in plan.folds:
        weights, rows = _weights(training, plan, members, fold), fold.validation
        few = np.stack([own[:, rows] for own in known])
        alone = np.stack([part.predictions[rows] for part in members.parts])
        answers.few[:, rows] = np.tensordot(weights, few, axes=1)
        answers.alone[rows] = np.tensordot(weights, alone, axes=1)
    return _scored(training, plan, members, answers, models)


def _weights(
    training: Dataset, plan: Plan, members: ChosenMembers, fold: Fold
) -> tuple[float, ...]:
    """Of the members, for the rows that a fold validates: chosen on other rows, as in `ensemble.cross_validate`.
    Chosen on these, by the answers of one model, they would flatter that one.
    """
    if len(members.parts) == 1:
        return members.blend.weights
    rows = ensemble.seen(members.parts, fold.train)
    return ensemble.blend(members.parts, training.target, rows, plan.metrics[0]).weights


class Answers(NamedTuple):
    """Of models without two folds [models, rows, outputs], and of one without one fold [rows, outputs]; NaN where no
    fold validates a row.
    """

    few: FloatArray
    alone: FloatArray


def _scored(
    training: Dataset, plan: Plan, members: ChosenMembers, answers: Answers, models: int
) -> Bag:
    mean = answers.few.mean(axis=0)
    rows = np.flatnonzero(np.isfinite(mean).all(axis=1))
    target, metric, output = training.target.take(rows), plan.metrics[0], members.parts[0].output
    single = len(members.candidates) == 1
    asked = ensemble.threshold_asked(members.candidates if single else plan.candidates)

    def scored(answer: FloatArray) -> float:
        cut = thresholds.chosen(asked, target, answer[rows], output)
        found = scoring.score_all([metric], target, answer[rows], output, cut)[metric]
        return float("nan") if found is None else found

    few, cut = (
        float(np.mean([scored(each) for each in answers.few])),
        thresholds.chosen(asked, target, mean[rows], output),
    )
    return Bag(models, len(plan.folds), metric, scored(mean), few, scored(answers.alone), cut)


def pairs_of(folds: int, models: int) -> list[FoldPair]:
    """The pairs that stand for `models` fold models: of each fold with as many of those that follow it."""
    steps = range(1, min(models, folds - 1) + 1)
    found = {FoldPair(*sorted((at, (at + step) % folds))) for at in range(folds) for step in steps}
    return sorted(found)


def _of(pairs: Sequence[FoldPair], fold: int, folds: int, models: int) -> list[int]:
    """The places in `pairs` of those that answer for the rows of `fold`."""
    steps = range(1, min(models, folds - 1) + 1)
    return [pairs.index(FoldPair(*sorted((fold, (fold + step) % folds)))) for step in steps]


def _without(folds: Sequence[Fold], pair: FoldPair, training: Dataset) -> Fold:
    """Trains on what both folds train on. Raises DataError where a class has no such row."""
    first, second = (folds[number] for number in pair)
    train = np.intersect1d(first.train, second.train)
    classes = len(training.target.classes)
    if classes and len(np.unique(training.target.values[train])) < classes:
        raise DataError(
            "evaluate.bag",
            "rows of every class outside of any two folds",
            "a class without",
            "Leave bag out, or use more folds.",
        )
    return Fold(train, np.union1d(first.validation, second.validation))


def _answers(
    found: FoldScores, folds: Sequence[Fold], fold: Fold, places: Sequence[int]
) -> FloatArray:
    """[models, rows of the fold, outputs] of the models at `places`."""
    answers = [
        found.predictions[at][np.searchsorted(folds[at].validation, fold.validation)]
        for at in places
    ]
    return np.stack(answers)


def _uncut(kind: str, facts: dict[str, Any]) -> None:
    """Emits nothing: curves and progress are those of the folds. Raises BudgetError for a training that the time
    cuts short.
    """
    if facts.get("cut"):
        raise BudgetError(
            "budget.time", "time to train as on the folds", "none left", "Raise budget.time."
        )
