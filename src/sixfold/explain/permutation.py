"""Importance of raw columns, for people: mean and spread over the folds, the most important
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.shuffling import Effort, losses
from sixfold.parts.table import Dataset


class ColumnImportance(NamedTuple):
    """What the deciding metric loses when the column is shuffled: mean over the folds, standard
    deviation (n - 1).
    """

    column: str
    mean: float
    spread: float


def importances(
    evaluation: Evaluation,
    dataset: Dataset,
    folds: Sequence[Fold],
    seed: int,
    effort: Effort | None = None,
) -> list[ColumnImportance]:
    """Every raw column that there was time for, by the fold models on their own validation rows;
    columns of equal importance in table order.
    """
    found = losses(evaluation.models, dataset, folds, evaluation.metrics[0], seed, effort)
    rows = [
        ColumnImportance(
            name, float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        )
        for name, values in found.items()
        if values
    ]
    return sorted(rows, key=lambda row: -row.mean)
