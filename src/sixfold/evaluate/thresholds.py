"""From which score of the second class on a row is given to it: the threshold that a label metric
likes best.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.parts.fit import OutputKind
from sixfold.parts.table import FloatArray, IntArray, Target
from sixfold.recipe.kinds import METRIC

MOST_CUTS = 256  # thresholds that are tried; more rows with different scores: evenly many rows between two of them


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


def best(metric: str, target: Target, scores: FloatArray, output: OutputKind) -> float:
    """The threshold on the score of class 1 with the best `metric` on these rows; of equal ones the
    nearest to neutral.

    Tried: the middles between neighboring scores, and neutral. `scores`: [rows, 2] of rows that the
    model did not see.
    """
    settings: Any = METRIC.load(metric)()
    sign = 1.0 if settings.greater_is_better else -1.0

    def key(cut: float) -> tuple[float, float]:
        found = sign * settings.score(target, np.eye(2)[decided(scores, cut)])
        return (-np.inf if np.isnan(found) else round(found, 12)), -abs(cut - neutral(output))

    return max([neutral(output), *_cuts(scores[:, 1])], key=key)


def check(metric: str, target: Target) -> None:
    """Raises RecipeError for a metric that does not score labels, and for a target that has not two
    classes.
    """
    labels = [name for name in METRIC.names() if METRIC.load(name).needs == "label"]
    if metric not in labels:
        raise RecipeError(
            "evaluate.threshold",
            f"a metric of labels ({', '.join(labels)}), or none",
            f"'{metric}'",
            "Name one of these: a threshold changes no probability, and so no other metric.",
        )
    if len(target.classes) != 2:
        raise RecipeError(
            "evaluate.threshold",
            "a target with two classes",
            f"{target.task} with {len(target.classes)} classes",
            "Leave threshold out.",
        )


def _cuts(score: FloatArray) -> list[float]:
    ordered = np.sort(score)
    if len(np.unique(ordered)) > MOST_CUTS:
        ordered = ordered[np.linspace(0, len(ordered) - 1, MOST_CUTS + 1).astype(np.int64)]
    levels = np.unique(ordered)
    return [float(cut) for cut in (levels[:-1] + levels[1:]) / 2.0]
