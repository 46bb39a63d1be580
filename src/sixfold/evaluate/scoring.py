"""Metrics by name: which fit a task, which a family can be scored by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.evaluate.thresholds import counting, decided
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import FloatArray, Target, Task
from sixfold.recipe.kinds import METRIC

DEFAULTS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "log_loss", "roc_auc"),
    "regression": ("rmse", "mae", "r2"),
    "reconstruction": ("mse", "mae"),
    "generation": ("bits_per_byte", "perplexity"),
    "transcription": ("word_error_rate", "character_error_rate"),
    "recommendation": (
        "ndcg_at_10",
        "recall_at_10",
        "map_at_10",
        "mrr",
        "coverage_at_10",
        "novelty_at_10",
    ),
}
INTERVALS: Final = ("pinball", "interval_coverage", "interval_width")  # of two quantiles or more
POSSIBLE: dict[OutputKind, frozenset[str]] = {
    "probability": frozenset({"label", "score", "probability"}),
    "decision": frozenset({"label", "score"}),
    "value": frozenset({"value"}),
}


@runtime_checkable
class MeanOverRows(Protocol):
    """Ability of a metric: its score follows from a mean over rows, so that drawing rows again
    needs no new scoring.
    """

    def rows(self, target: Target, predicted: FloatArray) -> FloatArray:
        """[rows] what is averaged."""

    def of_mean(self, mean: float) -> float:
        """The score: `score(target, predicted)` is `of_mean(rows(target, predicted).mean())`."""


def greater_is_better(name: str) -> bool:
    """Whether more of metric `name` is better. Raises RecipeError for a name that is none."""
    return bool(METRIC.load(name).greater_is_better)


class ScoreBounds(NamedTuple):
    """The worst and the best score that there is; of negated scores, too, the second is the better
    one.
    """

    worst: float
    best: float


def bounds(name: str) -> ScoreBounds | None:
    """The worst and the best score that metric `name` can give, as the plug-in has them: (0, 1);
    None without limits.
    """
    found = METRIC.load(name).bounds
    return None if found is None else ScoreBounds(*found)


def measures_ranking(name: str) -> bool:
    """Whether metric `name` looks at the order of the rows alone."""
    return bool(METRIC.load(name).measures_ranking)


def check(
    names: Sequence[str],
    task: Task,
    where: str = "evaluate.metrics",
    quantiles: Sequence[float] = (),
) -> tuple[str, ...]:
    """`names` without repetitions, or the task's defaults. `quantiles`: what is predicted of a regression.

    Raises RecipeError, said of the key `where`, for a metric of another task or a name that is
    none.
    """
    for name in names:
        if task not in METRIC.load(name).tasks:
            tasks = ", ".join(sorted(METRIC.load(name).tasks))
            found = f"'{name}', which is for {tasks}"
            raise RecipeError(where, f"metrics for {task}", found, _fitting(task, quantiles))
        if not _suits(name, quantiles):
            what = "quantiles" if quantiles else f"{task} without quantiles"
            raise RecipeError(where, f"metrics for {what}", f"'{name}'", _fitting(task, quantiles))
    if quantiles:
        return tuple(dict.fromkeys(names)) or INTERVALS[: None if len(quantiles) > 1 else 1]
    return tuple(dict.fromkeys(names)) or DEFAULTS[task]


def _suits(name: str, quantiles: Sequence[float]) -> bool:
    return bool(METRIC.load(name).of_quantiles != ("never" if quantiles else "only"))


def _fitting(task: Task, quantiles: Sequence[float]) -> str:
    names = [
        name
        for name in METRIC.names()
        if task in METRIC.load(name).tasks and _suits(name, quantiles)
    ]
    return f"Choose from: {', '.join(names)}."


def score_all(
    names: Sequence[str],
    target: Target,
    predicted: FloatArray,
    output: OutputKind,
    threshold: float | None = None,
) -> dict[str, float | None]:
    """Metric → score; None where the family's output cannot be scored by it (log loss without
    probabilities), or the rows do not define it (ROC AUC of one class).

    `predicted`: [rows, outputs]. `threshold`: that of the model (`Model.threshold`), for the
    metrics of labels: they get 1 for the class that is decided and 0 for the other. Raises
    RecipeError for a metric of another task.
    """
    check(names, target.task, quantiles=target.quantiles)
    target, predicted = counting(target, predicted)
    scores: dict[str, float | None] = {}
    for name in names:
        metric: Any = METRIC.load(name)()
        given = _given(metric, predicted, threshold)
        possible = metric.needs in POSSIBLE[output] and target.total > 0
        score = scored(metric, target, given) if possible else math.nan
        scores[name] = None if math.isnan(score) else score
    return scores


def scored(metric: Any, target: Target, predicted: FloatArray) -> float:
    """The metric's score; of a regression of several values the mean of what each of them scores."""
    each = target.each
    if len(each) == 1:
        return float(metric.score(target, predicted))
    return float(np.mean([metric.score(one, predicted[:, [at]]) for at, one in enumerate(each)]))


def is_mean(name: str) -> bool:
    """Whether metric `name` follows from a mean over rows."""
    return isinstance(METRIC.load(name)(), MeanOverRows)


def score_pieces(
    name: str, target: Target, predicted: FloatArray, pieces: int, threshold: float | None = None
) -> FloatArray:
    """[pieces] the score of every `pieces`-th row, from the first, the second, …: of a metric that
    is a mean over rows, and a family that `score_all` has a score of. There have to be `pieces`
    rows.
    """
    each = target.each
    if len(each) > 1:
        parts = [score_pieces(name, one, predicted[:, [k]], pieces) for k, one in enumerate(each)]
        return np.asarray(np.mean(parts, axis=0))
    metric: Any = METRIC.load(name)()
    rows = metric.rows(target, _given(metric, predicted, threshold))
    piece, weights = np.arange(len(rows)) % pieces, target.weights
    if weights is None:
        means = np.bincount(piece, rows) / np.bincount(piece)
    else:  # of rows that do not count, the piece has the score of all
        total = np.bincount(piece, weights)
        sums = np.bincount(piece, rows * weights)
        means = np.where(total > 0, sums, target.mean(rows)) / np.where(total > 0, total, 1.0)
    return np.array([metric.of_mean(mean) for mean in means.tolist()])


def _given(metric: Any, predicted: FloatArray, threshold: float | None) -> FloatArray:
    """What a metric is given: of labels, 1 for the class that is decided and 0 for the other."""
    return (
        predicted
        if threshold is None or metric.needs != "label"
        else np.eye(2)[decided(predicted, threshold)]
    )


def check_changes(section: Mapping[str, float], metrics: Sequence[str]) -> None:
    """`compress.keep`, metric → accepted change.

    Raises RecipeError for a metric that is not measured, or a change that would be a gain."""
    for name, change in section.items():
        if name not in metrics:
            raise RecipeError(
                f"compress.keep.{name}",
                f"a metric that is measured ({', '.join(metrics)})",
                f"'{name}'",
                "Add it to evaluate.metrics.",
            )
        greater = greater_is_better(name)
        if change * (-1 if greater else 1) < 0:
            allowed = (
                "0 or less, since more is better" if greater else "0 or more, since less is better"
            )
            raise RecipeError(
                f"compress.keep.{name}",
                f"a change of {allowed}",
                f"{change:g}",
                f"Write {-change:g}.",
            )
