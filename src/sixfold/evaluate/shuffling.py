"""How much a score loses when one raw column's values are shuffled (Breiman, 2001; Fisher, Rudin and Dominici, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixfold.core.seeds import derive
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model
from sixfold.parts.table import Dataset, Table

SAMPLE = 2000  # validation rows a fold
MOST_FOLDS = 10  # more tell little


def losses(
    models: Sequence[Model], dataset: Dataset, folds: Sequence[Fold], metric: str, seed: int
) -> dict[str, list[float]]:
    """Raw column → what `metric` loses on each fold's validation rows, by the fold's own model (0 where it is not asked)."""
    sign = 1.0 if scoring.greater_is_better(metric) else -1.0
    lost: dict[str, list[float]] = {name: [] for name in dataset.table.columns}
    for position in range(min(len(models), MOST_FOLDS)):
        model, rows = models[position], folds[position].validation
        rng = np.random.default_rng(derive(seed, "shuffle", position))
        data = dataset.take(np.sort(rng.permutation(rows)[:SAMPLE]))
        order = rng.permutation(data.table.rows)
        full = _score(model, data, data.table, metric)
        for name, column in data.table.columns.items():
            if name not in model.preparer.inputs:
                lost[name].append(0.0)
                continue
            shuffled = Table({**data.table.columns, name: column.take(order)}, data.table.rows)
            lost[name].append(sign * (full - _score(model, data, shuffled, metric)))
    return lost


def _score(model: Model, data: Dataset, table: Table, metric: str) -> float:
    found = scoring.score_all([metric], data.target, model.predict(table), model.fitted.output)[metric]
    return float("nan") if found is None else found
