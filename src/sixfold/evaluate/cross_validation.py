"""Cross-validation: J̄ = (1/K) Σ J(θ_k), every fold prepared, trained and scored on its own."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sixfold.build.family import Interruptible, SolverFamily
from sixfold.core.errors import BudgetError
from sixfold.core.units import show_seconds
from sixfold.evaluate import scoring
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.model import Model, Prepared, calibrate, fit_prepared, own_part, prepare_rows
from sixfold.parts.sparse import held_bytes
from sixfold.parts.state import State
from sixfold.parts.table import Dataset, FloatArray
from sixfold.runs.context import Context
from sixfold.train.candidate import Candidate

CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Evaluation(State):
    """One candidate on all folds.

    `scores`: metric → float64 [folds], NaN where the family cannot be scored by it. `predictions`: out-of-fold, float64
    [rows, outputs], NaN for rows that no fold validates, the mean where several do. `fit_s`: seconds of preparing and
    training; what was prepared for an earlier candidate costs the later one nothing.
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
        """Metric → mean over the folds, J̄ = (1/K) Σ J(θ_k); without the metrics that some fold cannot be scored by."""
        return {name: float(np.mean(values)) for name, values in self.scores.items() if np.isfinite(values).all()}


class FoldCache:
    """Prepared folds that candidates with equal preparation share, up to `most_bytes`.

    They belong to one dataset and its folds: others empty the cache.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], Prepared] = OrderedDict()
        self._of: tuple[Dataset, Sequence[Fold]] | None = None

    def belong_to(self, dataset: Dataset, folds: Sequence[Fold]) -> None:
        """Forget what was prepared from other rows."""
        if self._of is None or self._of[0] is not dataset or self._of[1] is not folds:
            self._kept.clear()
            self._of = (dataset, folds)

    @property
    def held_bytes(self) -> int:
        """Bytes of all features kept."""
        return sum(held_bytes(kept.x) for kept in self._kept.values())

    def get(self, key: tuple[str, int]) -> Prepared | None:
        """What was kept under `key`."""
        return self._kept.get(key)

    def put(self, key: tuple[str, int], prepared: Prepared) -> None:
        """Keep `prepared` if it fits, in place of other preparations.

        Folds of the same preparation stay: they are asked for in turn, and the one put first is the next to be wanted.
        """
        if held_bytes(prepared.x) > self.most_bytes:
            return
        others = [other for other in self._kept if other[0] != key[0]]
        while self.held_bytes + held_bytes(prepared.x) > self.most_bytes and others:
            del self._kept[others.pop(0)]
        if self.held_bytes + held_bytes(prepared.x) <= self.most_bytes:
            self._kept[key] = prepared


def cross_validate(
    candidate: Candidate, dataset: Dataset, folds: Sequence[Fold], metrics: Sequence[str], context: Context,
    cache: FoldCache | None = None,
) -> Evaluation:  # fmt: skip
    """Train `candidate` on each fold's training rows and score it on the validation rows.

    Time left is divided among the folds. Emits `fold_scored`. Raises BudgetError when time runs out before the last fold,
    FitError, RecipeError. One fold's features are alive at a time, besides those in `cache`.
    """
    cache = cache or FoldCache(0)
    cache.belong_to(dataset, folds)
    preparation = repr((candidate.prepare.model_dump_json(), candidate.family.needs, context.seed))
    fit_s, longest = 0.0, 0.0
    models: list[Model] = []
    scores = {name: np.full(len(folds), np.nan) for name in metrics}
    total = np.zeros((dataset.table.rows, dataset.target.outputs))
    times_seen = np.zeros(dataset.table.rows)
    for number, fold in enumerate(folds):
        part = _part(context, number, len(folds))
        part.check_time(f"fitting fold {number + 1} of {len(folds)} of {candidate.name}")
        _check_next(candidate, context.left_s(), longest)
        started = time.monotonic()
        model = _fit(candidate, dataset.take(fold.train), part, cache, (preparation, number))
        took = time.monotonic() - started
        fit_s, longest = fit_s + took, max(longest, took)
        validation = dataset.take(fold.validation)
        predicted = model.predict(validation.table)
        scored = scoring.score_all(metrics, validation.target, predicted, model.output, model.threshold)
        for name, score in scored.items():
            scores[name][number] = np.nan if score is None else score
        total[fold.validation] += predicted
        times_seen[fold.validation] += 1
        models.append(model)
        found = {name: float(each[number]) for name, each in scores.items() if np.isfinite(each[number])}
        part.emit("fold_scored", folds=len(folds), scores=found)
    with np.errstate(invalid="ignore"):
        predictions = total / times_seen[:, None]
    return Evaluation(
        candidate.name, candidate.family_name, models[0].output, tuple(metrics), scores, predictions,
        tuple(models), fit_s,
    )  # fmt: skip


def _part(context: Context, number: int, folds: int) -> Context:
    part = context.within("fold", number, fold=number)
    if context.deadline is None:
        return part
    return replace(part, deadline=time.monotonic() + context.left_s() / (folds - number))


def _check_next(candidate: Candidate, left_s: float, longest: float) -> None:
    """Most solvers cannot be interrupted: another fit as long as the longest so far has to fit into the time left."""
    family = candidate.family
    if left_s < longest and isinstance(family, SolverFamily) and not isinstance(family, Interruptible):
        raise BudgetError(
            "budget.time", f"time for another fit of {candidate.name}, which took {show_seconds(longest)} before",
            f"{show_seconds(left_s)} left", "Raise budget.time, or use fewer folds or rows.",
        )  # fmt: skip


def _fit(candidate: Candidate, training: Dataset, context: Context, cache: FoldCache, key: tuple[str, int]) -> Model:
    """One fold's model. `key`: what its preparation depends on (recipe, the family's needs, the seed), and which fold."""
    prepared, own = cache.get(key), own_part(candidate, context)
    if prepared is None:
        prepared = prepare_rows(candidate, training, context)
        cache.put(key, prepared)
    return calibrate(candidate, fit_prepared(candidate, prepared, training.target, own), training, context)
