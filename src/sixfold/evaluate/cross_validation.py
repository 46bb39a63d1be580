"""Cross-validation: J̄ = (1/K) Σ J(θ_k), every fold prepared, trained and scored on its own."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model, Prepared, fit_prepared, prepare_rows
from sixfold.parts.state import State
from sixfold.parts.table import Dataset, FloatArray
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate

CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Evaluation(State):
    """One candidate on all folds.

    `scores`: metric → float64 [folds], NaN where the family cannot be scored by it. `predictions`: out-of-fold, float64
    [rows, outputs], NaN for rows that no fold validates, the mean where several do. `fit_s`: seconds of all fits.
    """

    name: str
    family: str
    output: str
    metrics: tuple[str, ...]
    scores: dict[str, FloatArray]
    predictions: FloatArray
    models: tuple[Model, ...]
    fit_s: float

    def means(self) -> dict[str, float]:
        """Metric → mean over the folds."""
        return {name: float(np.mean(values)) for name, values in self.scores.items()}


class FoldCache:
    """Prepared folds that candidates with equal preparation share; the oldest go when the bytes are spent."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], Prepared] = OrderedDict()

    def get(self, key: tuple[str, int]) -> Prepared | None:
        """What was kept under `key`."""
        return self._kept.get(key)

    def put(self, key: tuple[str, int], prepared: Prepared) -> None:
        """Keep `prepared`, if it fits."""
        if prepared.x.nbytes > self.most_bytes:
            return
        self._kept[key] = prepared
        while sum(kept.x.nbytes for kept in self._kept.values()) > self.most_bytes:
            self._kept.popitem(last=False)


def cross_validate(
    candidate: Candidate, dataset: Dataset, folds: Sequence[Fold], metrics: Sequence[str], context: Context,
    cache: FoldCache | None = None,
) -> Evaluation:  # fmt: skip
    """Train `candidate` on each fold's training rows and score it on the validation rows.

    Time left is divided among the folds. Raises BudgetError when it runs out before the last fold, FitError, RecipeError.
    """
    cache = cache or FoldCache(0)
    started = time.monotonic()
    models: list[Model] = []
    scores = {name: np.full(len(folds), np.nan) for name in metrics}
    total = np.zeros((dataset.table.rows, dataset.target.outputs))
    times_seen = np.zeros(dataset.table.rows)
    for number, fold in enumerate(folds):
        part = _part(context, number, len(folds))
        part.check_time(f"fitting fold {number + 1} of {len(folds)} of {candidate.name}")
        training = dataset.take(fold.train)
        prepared = _prepared(candidate, training, part, cache, number)
        model = fit_prepared(candidate, prepared, training.target, part)
        validation = dataset.take(fold.validation)
        predicted = model.predict(validation.table)
        for name, score in scoring.score_all(metrics, validation.target, predicted, model.fitted.output).items():
            scores[name][number] = np.nan if score is None else score
        total[fold.validation] += predicted
        times_seen[fold.validation] += 1
        models.append(model)
        part.emit("fold_scored", folds=len(folds), scores={name: scores[name][number].item() for name in metrics})
    with np.errstate(invalid="ignore"):
        predictions = total / times_seen[:, None]
    return Evaluation(
        candidate.name, candidate.family_name, models[0].fitted.output, tuple(metrics), scores, predictions,
        tuple(models), time.monotonic() - started,
    )  # fmt: skip


def _part(context: Context, number: int, folds: int) -> Context:
    part = context.within("fold", number, fold=number)
    if context.deadline is None:
        return part
    return replace(part, deadline=time.monotonic() + context.left_s() / (folds - number))


def _prepared(candidate: Candidate, training: Dataset, context: Context, cache: FoldCache, number: int) -> Prepared:
    """Preparation depends on the rows, the recipe, the family's needs and the seed: not on the family's settings."""
    key = (f"{candidate.prepare.model_dump_json()}{candidate.family.needs}", number)
    found = cache.get(key)
    if found is None:
        found = prepare_rows(candidate, training, context)
        cache.put(key, found)
    return found
