"""From which score of the second class on a row is given to it: the threshold that a label metric
likes best.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import FloatArray, IntArray, Target
from sixfold.recipe.kinds import METRIC

MOST_CUTS = 256  # thresholds that are tried; more rows with different scores: evenly many rows between two of them


class CountingRows(NamedTuple):
    """Rows that count in a metric: `scores` [rows, classes]."""

    target: Target
    scores: FloatArray


def decided(scores: FloatArray, threshold: float | None) -> IntArray:
    """[rows, classes] → [rows] classes: the largest score; with a threshold class 1 where its score
    is above.
    """
    if threshold is None:
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)
    return np.asarray(scores[:, 1] > threshold, dtype=np.int64)


def neutral(output: OutputKind) -> float:
    """The threshold that decides as the largest score does."""
    return 0.5 if output == "probability" else 0.0


def counting(target: Target, scores: FloatArray) -> CountingRows:
    """Without the rows whose weight is 0: they count in no metric."""
    if target.weights is None or (target.weights > 0).all():
        return CountingRows(target, scores)
    rows = np.flatnonzero(target.weights)
    return CountingRows(target.take(rows), scores[rows])


def chosen(
    asked: str | float, target: Target, scores: FloatArray, output: OutputKind
) -> float | None:
    """The threshold that the recipe asks for: a number as it is, of a metric's name the `best`, None of
    `none`.
    """
    if isinstance(asked, str):
        return None if asked == "none" else best(asked, target, scores, output)
    return asked


def best(metric: str, target: Target, scores: FloatArray, output: OutputKind) -> float:
    """The threshold on the score of class 1 with the best `metric` on these rows; of equal ones the
    nearest to neutral.

    Tried: the middles between neighboring scores, and neutral. `scores`: [rows, 2] of rows that the
    model did not see.
    """
    target, scores = counting(target, scores)
    settings: Any = METRIC.load(metric)()
    sign = 1.0 if settings.greater_is_better else -1.0

    def key(cut: float) -> tuple[float, float]:
        found = sign * settings.score(target, np.eye(2)[decided(scores, cut)])
        return (-np.inf if np.isnan(found) else round(found, 12)), -abs(cut - neutral(output))

    return max([neutral(output), *_cuts(scores[:, 1], target.weights)], key=key)


def check(asked: str | float, target: Target, output: OutputKind) -> None:
    """Raises RecipeError for a metric that does not score labels, a number that is no probability where
    the scores (`output`) are some, and for a target that has not two classes.
    """
    labels = [name for name in METRIC.names() if METRIC.load(name).needs == "label"]
    if isinstance(asked, str) and asked not in labels:
        raise RecipeError(
            "evaluate.threshold",
            f"a metric of labels ({', '.join(labels)}), a number, or none",
            f"'{asked}'",
            "Name one of these: a threshold changes no probability, and so no other metric.",
        )
    if not isinstance(asked, str) and output == "probability" and not 0.0 < asked < 1.0:
        raise RecipeError(
            "evaluate.threshold",
            "a probability between 0 and 1, above which a row is of the second class",
            f"{asked:g}",
            "Write 0.3, for example: numbers beyond are for an svm that is not calibrated.",
        )
    if len(target.classes) != 2:
        raise RecipeError(
            "evaluate.threshold",
            "a target with two classes",
            f"{target.task} with {len(target.classes)} classes",
            "Leave threshold out.",
        )


def _cuts(score: FloatArray, weights: FloatArray | None) -> list[float]:
    ordered = np.sort(score)
    if len(np.unique(ordered)) > MOST_CUTS:
        ordered = ordered[_evenly(score, weights)]
    levels = np.unique(ordered)
    return [float(cut) for cut in (levels[:-1] + levels[1:]) / 2.0]


def _evenly(score: FloatArray, weights: FloatArray | None) -> IntArray:
    """Places among the sorted scores, between which there are equally many rows."""
    if weights is None:
        return np.linspace(0, len(score) - 1, MOST_CUTS + 1).astype(np.int64)
    passed = np.cumsum(weights[np.argsort(score, kind="stable")])
    rows = np.linspace(0, max(0.0, passed[-1] - 1), MOST_CUTS + 1).astype(np.int64)
    return np.minimum(np.searchsorted(passed, rows, side="right"), len(score) - 1)
