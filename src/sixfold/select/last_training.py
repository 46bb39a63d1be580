"""Whether the last training went as those on the folds did: their scores speak for a model of which nobody has asked
anything yet. A network may start badly, or leave what it had found, on one set of rows and not on another.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.model import Model
from sixfold.evaluate.scoring import score_all
from sixfold.parts.table import Dataset, FloatArray, Task

ASKED: Final[frozenset[Task]] = frozenset({"classification", "regression", "transcription"})
LEAST: Final = 0.5  # of what the folds gain over no look at the columns
ROWS: Final = 400  # that are asked, at most
AT_ONCE: Final = 40  # of them
MOST_S: Final = 5.0
TIME_SHARE: Final = 0.02  # of a budget of time: guessed


def lost(
    training: Dataset,
    evaluation: Evaluation,
    model: Model,
    metric: str,
    baseline: FloatArray,
    time_s: float | None = None,
) -> str:
    """A warning where `model`, trained on all of `training`, answers some of these rows clearly worse than the models
    of the folds answered rows that they had not seen: by less than LEAST of what those gained over `baseline`,
    and worse than the worst of them. '' otherwise, and where that cannot be told. `time_s`: of the whole run, if
    that has an end.
    """
    scores, chance = evaluation.scores[metric], float(np.mean(baseline))
    gained = float(np.mean(scores)) - chance
    if training.target.task not in ASKED or not np.isfinite(gained) or gained == 0:
        return ""
    most_s = MOST_S if time_s is None else min(MOST_S, TIME_SHARE * time_s)
    score, rows = _asked(training, model, metric, most_s)
    worst = scores.min() if gained > 0 else scores.max()
    if score is None or (score - chance) / gained >= LEAST or (score - worst) / gained >= 0:
        return ""
    return (
        f"{evaluation.name}, trained again on all rows, scores {metric} {score:.4g} on {rows:,} of these rows; models "
        f"without a fold scored {np.mean(scores):.4g} on the rows of the fold. It did not learn what they did: train with "
        "another initialize.seed, or a lower train.optimizer.learning_rate."
    )


def _asked(training: Dataset, model: Model, metric: str, most_s: float) -> tuple[float | None, int]:
    """The score on rows from all of the table, as many as there is time for, and how many that are."""
    rows, started = training.table.rows, time.monotonic()
    order = np.random.default_rng(0).permutation(rows)[:ROWS]
    found: list[FloatArray] = []
    for first in range(0, len(order), AT_ONCE):
        some = np.sort(order[first : first + AT_ONCE])
        found.append(model.predict(training.table.take(some)))
        order[first : first + AT_ONCE] = some
        if time.monotonic() - started > most_s:
            break
    predicted = np.concatenate(found)
    target = training.target.take(order[: len(predicted)])
    scores = score_all([metric], target, predicted, model.output, model.threshold)
    return scores[metric], len(predicted)
