"""Whether one candidate is better than another, or the folds cannot tell: intervals of their
difference, and a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from sixfold.core.units import counted
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import FloatArray, IntArray, Target
from sixfold.parts.weights import mean, taken
from sixfold.recipe.kinds import METRIC

MOST_ROWS = (
    20_000  # rows of a draw; larger tables are drawn m out of n: 1,000 draws of 10,000 took 0.2 s
)
MOST_SCORED = 2_000  # the same for metrics that score every draw anew,
MOST_TIMES = 400  # and how many draws: 1,000 of f1 or roc_auc took 7 to 17 s
EQUAL = 1e-12  # a spread below this share of the scores is rounding


@dataclass(frozen=True)
class Difference:
    """`difference`: how much `first` is better than `second`, in units of the metric (negative:
    worse).

    `low`, `high`: its confidence interval; `p`: two-sided, of no difference; NaN where they cannot
    be known. `by`: what was compared ("10 folds"), `how`: the method.
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    level: float
    by: str
    how: str

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def turned(self) -> Difference:
        """The same of `second` against `first`."""
        return Difference(
            self.second,
            self.first,
            self.metric,
            -self.difference,
            -self.high,
            -self.low,
            self.p,
            self.level,
            self.by,
            self.how,
        )

    def __str__(self) -> str:
        """One plain sentence; points are hundredths of a metric between 0 and 1."""
        if self.difference < 0:
            return str(self.turned())
        unit, shown = _unit(self.metric)
        if math.isnan(self.difference):
            return f"{self.first} and {self.second} have no score of {self.metric} on the same {self.by.split()[-1]}."
        if self.difference == 0 and (self.low == self.high or math.isnan(self.low)):
            return f"{self.first} and {self.second} score the same on {self.by} ({self.metric})."
        by = f"{shown(self.difference)} {unit}"
        if math.isnan(self.low):
            return f"{self.first} is ahead of {self.second} by {by} on {self.by}, which cannot say how much chance does."
        interval = (
            f"{self.level:.0%} interval {shown(self.low)} to {shown(self.high)}, p = {self.p:.2g}"
        )
        verb = "is better than" if self.told_apart else "is ahead of"
        end = "" if self.told_apart else f": {self.by} cannot tell them apart"
        return (
            f"{self.first} {verb} {self.second} by {by}, {interval} ({self.how}, {self.by}){end}."
        )


def _unit(metric: str) -> tuple[str, Callable[[float], str]]:
    if scoring.bounds(metric) == (0.0, 1.0):
        return (
            f"points of {metric}",
            lambda value: f"{100 * value:.2g}" if abs(value) < 0.1 else f"{100 * value:.0f}",
        )
    return f"({metric})", lambda value: f"{value:.3g}"


# ---- on folds ----------------------------------------------------------------------------------------------------


def validation_share(folds: Sequence[Fold]) -> float:
    """n_validation / n_train, the mean over folds: 1 / (K - 1) for K folds."""
    return float(np.mean([len(fold.validation) / len(fold.train) for fold in folds]))


class ScoredFolds(NamedTuple):
    """One candidate's scores, float64 [folds]."""

    name: str
    scores: FloatArray


def by_folds(
    first: ScoredFolds, second: ScoredFolds, metric: str, share: float, level: float = 0.95
) -> Difference:
    """The corrected resampled t-test of two candidates on the same folds.

    t = d̄ / √((1/n + n_validation/n_train)·S²) with n - 1 degrees of freedom; d: differences on the
    n folds that both have a score of, S² their variance (n - 1). The second term stands for the
    training rows that folds share. `share`: n_validation / n_train. Nadeau and Bengio (2003), for
    repeated K folds Bouckaert and Frank (2004).

    One fold, or equal differences other than zero, have no interval (NaN): the spread is not known.
    """
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    d = sign * (np.asarray(first.scores) - np.asarray(second.scores))
    d = d[np.isfinite(d)]
    by = counted(len(d), "fold")
    low, high, p = math.nan, math.nan, math.nan
    mean = float(d.mean()) if len(d) else math.nan
    spread = float(d.std(ddof=1)) if len(d) > 1 else math.nan
    largest = float(np.nanmax(np.abs((first.scores, second.scores)))) if len(d) else 0.0
    if spread <= EQUAL * largest and abs(mean) <= EQUAL * largest:
        mean, low, high, p = 0.0, 0.0, 0.0, 1.0
    elif spread > EQUAL * largest:
        error = spread * math.sqrt(1 / len(d) + share)
        half = float(stats.t.ppf((1 + level) / 2, len(d) - 1)) * error
        low, high, p = (
            mean - half,
            mean + half,
            2 * float(stats.t.sf(abs(mean) / error, len(d) - 1)),
        )
    return Difference(
        first.name, second.name, metric, mean, low, high, p, level, by, "corrected resampled t-test"
    )


# ---- on rows -----------------------------------------------------------------------------------------------------


class Predicted(NamedTuple):
    """One candidate's out-of-fold predictions, float64 [rows, outputs], NaN for rows that no fold
    validates.
    """

    name: str
    values: FloatArray
    output: OutputKind


class Draws(NamedTuple):
    """How often rows are drawn, by which seed, and the level of the interval."""

    times: int = 1000
    seed: int = 0
    level: float = 0.95


def by_rows(
    first: Predicted,
    second: Predicted,
    target: Target,
    metric: str,
    groups: IntArray | None = None,
    draws: Draws = Draws(),  # noqa: B008
) -> Difference:
    """The bootstrap of out-of-fold predictions: rows (or whole groups) drawn with replacement, the
    same for both candidates. Of those that are drawn, each counts by its weight.

    Percentile interval (Efron and Tibshirani, 1993, ch. 13); p: twice the smaller share of draws on
    one side of zero. The models are taken as they are: what other training rows would do is not in
    the interval. Above 20,000 rows, m of the n are drawn and deviations scaled by √(m/n) (Bickel,
    Götze and van Zwet, 1997); for metrics that are no mean over rows, above 2,000, and 400 times at
    most: `how` says it. Draws that the metric does not define (one class) are left out; NaN when
    more than half.
    """
    scoring.check([metric], target.task, quantiles=target.quantiles)
    settings = METRIC.load(metric)()
    known = np.flatnonzero(
        np.isfinite(first.values).all(axis=1) & np.isfinite(second.values).all(axis=1)
    )
    if target.weights is not None:
        known = known[target.weights[known] > 0]
    units = _units(known, None if groups is None else groups[known])
    averaged = isinstance(settings, scoring.MeanOverRows) and len(target.each) == 1
    most = MOST_ROWS if averaged else MOST_SCORED
    draws = draws if averaged else draws._replace(times=min(draws.times, MOST_TIMES))
    taken = min(len(units), max(2, round(len(units) * min(1.0, most / max(1, len(known))))))
    score = _difference((first, second), target, settings)
    whole = score(known) if len(known) else math.nan
    found = np.full(draws.times, math.nan)
    if len(units) > 1 and math.isfinite(whole):
        rng = np.random.default_rng(draws.seed)
        for number in range(draws.times):
            found[number] = score(units.rows(rng.integers(0, len(units), taken)))
    found = whole + math.sqrt(taken / max(1, len(units))) * (found - whole)
    low, high, p = _interval(found[np.isfinite(found)], draws)
    by = f"{len(units):,} {'rows' if groups is None else 'groups'}"
    how = f"bootstrap, {draws.times:,} draws" + (
        f" of {taken:,}, scaled" if taken < len(units) else ""
    )
    return Difference(first.name, second.name, metric, whole, low, high, p, draws.level, by, how)


def _interval(found: FloatArray, draws: Draws) -> tuple[float, float, float]:
    if 2 * len(found) < draws.times:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(found, [(1 - draws.level) / 2, (1 + draws.level) / 2])
    side = (
        min(np.sum(found <= 0), np.sum(found >= 0)) + 1
    )  # + 1: a p of zero cannot be seen in finitely many draws
    return float(low), float(high), min(1.0, 2 * float(side) / (len(found) + 1))


def _difference(
    pair: Sequence[Predicted], target: Target, settings: Any
) -> Callable[[IntArray], float]:
    """Rows → how much better the first of `pair` scores on them. NaN where the metric cannot score
    both.
    """
    sign = 1.0 if settings.greater_is_better else -1.0
    if any(settings.needs not in scoring.POSSIBLE[each.output] for each in pair):
        return lambda rows: math.nan
    if isinstance(settings, scoring.MeanOverRows) and len(target.each) == 1:
        one, other = (settings.rows(target, each.values) for each in pair)
        of, weights = settings.of_mean, target.weights

        def of_rows(each: FloatArray, rows: IntArray) -> float:
            return float(of(float(mean(each[rows], taken(weights, rows)))))

        return lambda rows: sign * (of_rows(one, rows) - of_rows(other, rows))

    def score(rows: IntArray) -> float:
        truth = target.take(rows)
        first, second = (scoring.scored(settings, truth, each.values[rows]) for each in pair)
        return sign * (first - second)

    return score


@dataclass(frozen=True)
class _Units:
    """What is drawn: rows, or groups of rows. Unit u has
    `order[starts[u]:starts[u] + sizes[u]]`.
    """

    order: IntArray
    starts: IntArray
    sizes: IntArray

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, drawn: IntArray) -> IntArray:
        """The rows of all drawn units, in turn."""
        if len(self.order) == len(self):  # a unit is a row
            return np.asarray(self.order[drawn])
        sizes = self.sizes[drawn]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.asarray(self.order[np.repeat(self.starts[drawn], sizes) + within])


def _units(known: IntArray, groups: IntArray | None) -> _Units:
    if groups is None:
        return _Units(known, np.arange(len(known)), np.ones(len(known), dtype=np.int64))
    order = np.argsort(groups, kind="stable")
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    return _Units(known[order], starts, sizes)
