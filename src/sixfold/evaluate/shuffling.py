"""How much a score loses when one raw column's values are shuffled (Breiman, 2001; Fisher, Rudin
and Dominici, 2019).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sixfold.core.seeds import derive
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, IntArray, Table

SAMPLE = 2000  # validation rows a fold
MOST_FOLDS = 10  # more tell little


class Effort(NamedTuple):
    """How much work shuffling may be: `repeats` shuffles a fold, no further column after `deadline`
    (time.monotonic() s).
    """

    def over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() >= self.deadline

    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    repeats: int = 1
    deadline: float = float("inf")


def losses(
    models: Sequence[Model],
    dataset: Dataset,
    folds: Sequence[Fold],
    metric: str,
    seed: int,
    effort: Effort | None = None,
) -> dict[str, list[float]]:
    """Raw column → what `metric` loses on each fold's validation rows, by the fold's own model (0
    where it is not asked).

    At most 10 folds, 2,000 rows each; the mean of the repeats. A fold that has no time for all
    columns does not count, unless it is the first one: then the columns that had no time have no
    values.
    """
    effort = effort or Effort()
    lost: dict[str, list[float]] = {name: [] for name in dataset.table.columns}
    for position in range(min(len(models), MOST_FOLDS)):
        if effort.over():
            break
        rng = np.random.default_rng(derive(seed, "shuffle", position))
        data = dataset.take(np.sort(rng.permutation(folds[position].validation)[:SAMPLE]))
        orders = [rng.permutation(data.table.rows) for _ in range(effort.repeats)]
        found = _of_fold(models[position], data, metric, orders, effort)
        if position and len(found) < len(lost):
            break
        for name, value in found.items():
            lost[name].append(value)
    return lost


def rows_asked(folds: Sequence[Fold]) -> int:
    """Validation rows that are asked again for a column, of all folds together."""
    return sum(min(len(fold.validation), SAMPLE) for fold in folds[:MOST_FOLDS])


def _of_fold(
    model: Model, data: Dataset, metric: str, orders: Sequence[IntArray], effort: Effort
) -> dict[str, float]:
    """Raw column → mean loss over the orders, each of which a column's values are put into; without
    those that time ended before.
    """
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    predict = model.near(data.table)

    def score(table: Table) -> float:
        found = scoring.score_all(
            [metric], data.target, predict(table), model.output, model.threshold
        )[metric]
        return float("nan") if found is None else found

    full, asked = score(data.table), set(model.preparer.inputs)
    lost = {name: 0.0 for name in data.table.columns if name not in asked}
    for name in model.preparer.inputs:
        if effort.over():
            break
        column = data.table.columns[name]
        tables = (
            Table({**data.table.columns, name: column.take(order)}, data.table.rows)
            for order in orders
        )
        lost[name] = sign * (full - float(np.mean([score(table) for table in tables])))
    return lost
