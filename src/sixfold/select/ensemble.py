"""The candidates together: a weighted mean whose weights are chosen on out-of-fold predictions.

Ensemble selection with replacement, started from the best in order (Caruana, Niculescu-Mizil, Crew
and Ksikes, 2004).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from sixfold.build.candidate import Candidate
from sixfold.evaluate import scoring, thresholds
from sixfold.evaluate.averaged import Averaged, Joined, Member
from sixfold.evaluate.cross_validation import Evaluation, FoldScores, Tally
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.fold_models import ModelStore
from sixfold.evaluate.model import Model
from sixfold.parts import state
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import Dataset, FloatArray, IntArray, Target
from sixfold.prepare.preparer import Preparer
from sixfold.recipe.kinds import METRIC
from sixfold.select import leaderboard
from sixfold.select.served_limits import SPENT

NAME = "ensemble"
STEPS = 50  # members added one by one, the same one perhaps several times: the best one again makes room for small weights
KEPT = 0.9  # of what the mean gains over the best member, when members leave that bring little: guessed
MOST_MEMBERS = 16  # of more, these are looked at: each costs a score a step; guessed
MOST_ALIKE = 4  # of them of one family: settings of one family err alike
MOST_ROWS = 10_000  # that weights are chosen on: more tell little
LESS_THAN_A_ROW = (
    1e-3  # that a Brier score counts, in rows: f1 and the like have smaller steps than accuracy
)

Score = Callable[[FloatArray], float]


class Blend(NamedTuple):
    """`weights`: one a member, not negative, sum 1. `threshold`: of the mean, where one is asked
    for. `left_out`: members without whom the rest keeps `budget.bundle` and `budget.latency`.
    """

    weights: tuple[float, ...]
    threshold: float | None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenMembers:
    """The candidates that the winner is made of, how they were evaluated, and their weights. `key`: all
    that its model depends on, besides the rows.
    """

    candidates: tuple[Candidate, ...]
    parts: tuple[Evaluation, ...]
    blend: Blend

    @property
    def key(self) -> str:
        """The weights and the candidates."""
        return "".join([repr(self.blend), *(candidate.key() for candidate in self.candidates)])


def select(predictions: Sequence[FloatArray], score: Score) -> FloatArray:
    """Weights [members] of the mean with the greatest `score` that greedy steps find; never below
    the best member's.

    Start: of the means of the best one, the best two, … the best. Step: add the member (again,
    perhaps) that gives the best mean. The best of all these means counts; NaN scores are the worst.
    Then members leave, for each is a model to be served: first those without whom the mean is as
    good or better, then, who brings least first, as long as the mean of the rest keeps the share
    KEPT of what the mean before gained over the best member.
    """

    def value(mean: FloatArray) -> float:
        found = score(mean)
        return -np.inf if np.isnan(found) else round(found, 12)

    order = np.argsort([-value(each) for each in predictions], kind="stable")
    sums = np.cumsum([predictions[member] for member in order], axis=0)
    first = [value(total / (number + 1)) for number, total in enumerate(sums)]
    size = int(np.argmax(first)) + 1
    counts = np.zeros(len(predictions))
    counts[order[:size]] = 1.0
    best, best_counts, total = first[size - 1], counts.copy(), sums[size - 1]
    for _ in range(STEPS):
        found = [value((total + predictions[member]) / (counts.sum() + 1)) for member in order]
        added = order[int(np.argmax(found))]
        total = total + predictions[added]
        counts[added] += 1.0
        if max(found) > best:
            best, best_counts = max(found), counts.copy()
    stacked = np.stack(predictions)
    counts, best = _without_the_idle(best_counts, best, stacked, value, best)
    if np.isfinite(first[0]):
        counts, _ = _without_the_idle(
            counts, best, stacked, value, first[0] + KEPT * (best - first[0])
        )
    return np.asarray(counts / counts.sum())


def affordable(
    weights: FloatArray, predictions: Sequence[FloatArray], score: Score, shares: FloatArray
) -> FloatArray:
    """`weights` without the members that make the rest take more than SPENT of a limit: as long as
    it does, the one leaves without whom the mean is best. `shares`: [members, limits] of each
    limit, 1 for all of it. Members that keep SPENT alone are never all gone.
    """
    stacked, kept = np.stack(predictions), weights.copy()
    while np.count_nonzero(kept) > 1 and (shares[kept > 0].sum(axis=0) > SPENT).any():
        without = [
            np.where(np.arange(len(kept)) == member, 0.0, kept) for member in np.flatnonzero(kept)
        ]
        found = [score(np.tensordot(rest / rest.sum(), stacked, axes=1)) for rest in without]
        kept = without[int(np.argmax(np.nan_to_num(found, nan=-np.inf)))]
    return np.asarray(kept / kept.sum())


def _without_the_idle(
    counts: FloatArray, worth: float, stacked: FloatArray, value: Score, least: float
) -> tuple[FloatArray, float]:
    """`counts` without the members that the mean does not need for the value `least`, and what
    their mean is worth; `worth`: of the mean of all.
    """
    while np.count_nonzero(counts) > 1:
        without = [
            np.where(np.arange(len(counts)) == member, 0.0, counts)
            for member in np.flatnonzero(counts)
        ]
        found = [value(np.tensordot(rest / rest.sum(), stacked, axes=1)) for rest in without]
        if max(found) < least:
            break
        counts, worth = without[int(np.argmax(found))], max(found)
    return counts, worth


def blend(
    evaluations: Sequence[Evaluation],
    target: Target,
    rows: IntArray,
    metric: str,
    threshold: str | float = "none",
) -> Blend:
    """Weights that make the mean of the out-of-fold predictions at `rows` best by `metric`, and the
    threshold that `threshold` (a metric of labels, a number, or none) asks for.
    """
    some = _some(rows)
    own, output = target.take(some), _output(evaluations)
    predictions = [evaluation.predictions[some] for evaluation in evaluations]
    score = partial(_score, own, metric, output)
    best = weights = select(predictions, score)
    if all(one.shares for one in evaluations):
        shares = np.array([one.shares for one in evaluations])
        weights = affordable(best, predictions, score, shares)
    mean = np.tensordot(weights, np.stack(predictions), axes=1)
    cut = thresholds.chosen(threshold, own, mean, output)
    gone = np.flatnonzero((best > 0) & (weights == 0)).tolist()
    return Blend(tuple(weights.tolist()), cut, tuple(evaluations[at].name for at in gone))


def _some(rows: IntArray) -> IntArray:
    return rows[np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).astype(np.int64)]


def _score(target: Target, metric: str, output: OutputKind, predicted: FloatArray) -> float:
    """Greater is better, NaN for none. Metrics of labels are equal for many means, above all of few rows: of
    those the one with the smaller Brier score is the better one, by less than a row.
    """
    smooth = output == "probability" and METRIC.load(metric).needs == "label"
    found = scoring.score_all([metric, *(["brier"] if smooth else [])], target, predicted, output)
    score, distance = found[metric], found.get("brier") or 0.0
    if score is None:
        return np.nan
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    return sign * score - LESS_THAN_A_ROW * distance / len(predicted)


def picked(
    evaluations: Sequence[Evaluation], target: Target, folds: Sequence[Fold], metric: str
) -> float:
    """What it is worth to pick the best of `members`: the mean over the folds of the score of the one that is
    best on the rows that the fold trains on. The mean of the best one is the best of many, and flatters itself.
    """
    found, output = [], _output(evaluations)
    for number, fold in enumerate(folds):
        rows = seen(evaluations, fold.train)
        scores = [float(one.scores[metric][number]) for one in evaluations]
        if not len(rows):
            found.append(float(np.mean(scores)))
            continue
        rows = _some(rows)
        own = target.take(rows)
        known = [_score(own, metric, output, one.predictions[rows]) for one in evaluations]
        found.append(scores[int(np.argmax(np.nan_to_num(known, nan=-np.inf)))])
    return float(np.mean(found))


def combine(models: Sequence[Model], found: Blend) -> Model:
    """The members with a weight as one model; equal preparers are one. A single member is that
    model itself.
    """
    kept = [int(member) for member in np.flatnonzero(found.weights)]
    if len(kept) == 1:
        return models[kept[0]]
    preparers: dict[str, Preparer] = {}
    for member in kept:
        own = models[member].preparer
        if not isinstance(own, Preparer):
            raise TypeError("an ensemble is no member of another")
        preparers.setdefault(state.digest(own), own)
    ends = np.cumsum([len(each.feature_names) for each in preparers.values()]).tolist()
    span = dict(zip(preparers, zip([0, *ends[:-1]], ends, strict=True), strict=True))
    parts = tuple(_part(models[member], preparers, span) for member in kept)
    fitted = Averaged(parts, np.array([found.weights[member] for member in kept]), models[0].output)
    first = models[0]
    joined = Joined(tuple(preparers.values()))
    names = first.task, first.target_names, first.classes
    return Model(joined, fitted, *names, threshold=found.threshold, quantiles=first.quantiles)


def threshold_asked(candidates: Sequence[Candidate]) -> str | float:
    """The metric that the threshold of a mean maximizes, or the number that it is: that of all
    candidates, or none where they differ.
    """
    asked = {candidate.calibration.threshold for candidate in candidates}
    return asked.pop() if len(asked) == 1 else "none"


def _part(model: Model, preparers: dict[str, Preparer], span: dict[str, tuple[int, int]]) -> Member:
    key = state.digest(model.preparer)
    return Member(model.fitted, model.calibrator, *span[key], preparers[key].precision)


def members(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], list[str]]:
    """Those whose predictions can be averaged, and a sentence for each of the others; who was
    dropped has too few.
    """
    evaluations = [one for one in evaluations if not one.dropped]
    notes = [
        f"{one.name} is no member of the ensemble: it gives decision values, no probabilities (evaluate.calibrate: platt)."
        for one in evaluations
        if one.output == "decision"
    ]
    measured = any(one.shares for one in evaluations)
    able = [one for one in evaluations if one.output != "decision" and bool(one.shares) is measured]
    notes += [
        f"{one.name} is no member of the ensemble: it takes {max(one.shares):.0%} of a limit of the budget (bundle, "
        f"latency), of which all members together have {SPENT:.0%}."
        for one in able
        if max(one.shares, default=0.0) > SPENT
    ]
    return [one for one in able if max(one.shares, default=0.0) <= SPENT], notes


def looked_at(evaluations: Sequence[Evaluation], metric: str) -> list[Evaluation]:
    """Of more than MOST_MEMBERS the best, of each family the best MOST_ALIKE before all others; in their
    own order.
    """
    ranked, count = leaderboard.order(evaluations, metric), Counter[str]()
    first, rest = list[int](), list[int]()
    for at in ranked:
        family = evaluations[at].family
        (first if count[family] < MOST_ALIKE else rest).append(at)
        count[family] += 1
    return [evaluations[at] for at in sorted([*first, *rest][:MOST_MEMBERS])]


def seen(evaluations: Sequence[Evaluation], among: IntArray) -> IntArray:
    """The rows of `among` that every member has an out-of-fold prediction for."""
    finite = [np.isfinite(one.predictions).all(axis=1) for one in evaluations]
    return np.asarray(among[np.all(finite, axis=0)[among]], dtype=np.int64)


def cross_validate(
    evaluations: Sequence[Evaluation],
    dataset: Dataset,
    folds: Sequence[Fold],
    metrics: Sequence[str],
    threshold: str | float = "none",
    store: ModelStore | None = None,
) -> FoldScores:
    """The ensemble of `evaluations` (two or more `members`) as one more candidate, on all folds.

    A fold's weights are chosen on out-of-fold predictions of rows that the fold trains on, never on
    those it validates; where there are none yet (the first window of a time series) all weights are
    equal. `fit_s`: of all members together. `store`: where its models go.
    """
    started, tally = time.monotonic(), Tally(NAME, NAME, metrics)
    for number, fold in enumerate(folds):
        rows = seen(evaluations, fold.train)
        equal = Blend((1 / len(evaluations),) * len(evaluations), None)
        found = (
            blend(evaluations, dataset.target, rows, metrics[0], threshold) if len(rows) else equal
        )
        kept = [at for at, weight in enumerate(found.weights) if weight > 0]
        weights = tuple(found.weights[at] for at in kept)
        model = combine(
            [evaluations[at].models[number] for at in kept], found._replace(weights=weights)
        )
        with (store or ModelStore()).writer(f"models-{number}") as writer:
            tally.score(number, model, dataset.take(fold.validation), 0.0)
            tally.models.append(writer.add(model))
    tally.fit_s = sum(one.fit_s for one in evaluations) + time.monotonic() - started
    return tally.part()


def _output(evaluations: Sequence[Evaluation]) -> OutputKind:
    return "value" if evaluations[0].output == "value" else "probability"
