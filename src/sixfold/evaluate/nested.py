"""Nested cross-validation: the outer rows score a choice that was made without them (Varma and Simon, 2006).

The best of many means is too good: it was chosen by the very folds it is stated on. Here every outer fold's training rows are
divided once more, those inner folds choose, and the outer validation rows score what they chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sixfold.core.seeds import derive
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.evaluate.selecting import Selection, select
from sixfold.parts.table import Dataset, FloatArray
from sixfold.recipe.schema import Evaluate

ScoreFolds = Callable[[Sequence[int], Sequence[Fold]], FloatArray]
"""(positions of candidates, folds of the whole dataset) → float64 [candidates, folds], greater is better."""

Choose = Callable[[Sequence[Fold]], tuple[int, float]]
"""Folds → the position of the candidate they choose, and its mean on them: `best_mean`, `selected`, or a search."""


@dataclass(frozen=True)
class Nested:
    """`scores`: [outer folds] of the choice on rows that did not choose it; `inner`: the mean it was chosen by; `chosen`:
    its position, outer fold by outer fold. All greater is better.
    """

    scores: FloatArray
    inner: FloatArray
    chosen: tuple[int, ...]

    @property
    def mean(self) -> float:
        """What to expect of choosing and training as this recipe does."""
        return float(self.scores.mean())

    @property
    def optimism(self) -> float:
        """How much too good the choosing folds' own means are: mean of inner - outer."""
        return float((self.inner - self.scores).mean())


def inner_folds(evaluate: Evaluate, dataset: Dataset, outer: Fold, number: int) -> list[Fold]:
    """Folds of `outer.train` alone, by the same scheme; groups stay whole and the past trains, as in the outer folds.

    Their indices are those of the whole dataset. `number`: of the outer fold; it gives the seed. Raises DataError where the
    training rows (or their classes, groups, moments) are too few to be divided once more.
    """
    section = evaluate.model_copy(update={"seed": derive(evaluate.seed, "inner folds", number)})
    inner = make(section, dataset.take(outer.train))
    return [Fold(outer.train[fold.train], outer.train[fold.validation]) for fold in inner]


def best_mean(candidates: int, score: ScoreFolds) -> Choose:
    """The choice of an exhaustive search: the greatest mean; the first of equals; who has no mean cannot be chosen."""
    return lambda folds: _best(score(range(candidates), folds))


def selected(
    selection: Selection, candidates: int, score: ScoreFolds, seed: int = 0, bounds: tuple[float, float] | None = None
) -> Choose:
    """The choice of a selection (racing, halving): the greatest mean of those that it scored on every fold."""

    def choose(folds: Sequence[Fold]) -> tuple[int, float]:
        def of(positions: Sequence[int], numbers: Sequence[int]) -> FloatArray:
            return score(positions, [folds[number] for number in numbers])

        return _best(select(selection, candidates, len(folds), of, seed, bounds).scores)

    return choose


def _best(scores: FloatArray) -> tuple[int, float]:
    means = np.round(scores.mean(axis=1), 12)
    best = int(np.where(np.isnan(means), -np.inf, means).argmax())
    return best, float(means[best])


def nested(evaluate: Evaluate, dataset: Dataset, outer: Sequence[Fold], choose: Choose, score: ScoreFolds) -> Nested:
    """Choose on inner folds, score the choice on the outer fold; outer folds × (the choice's fits + 1) fits in all."""
    scores, inner, chosen = [], [], []
    for number, fold in enumerate(outer):
        position, mean = choose(inner_folds(evaluate, dataset, fold, number))
        scores.append(float(score([position], [fold])[0, 0]))
        inner.append(mean)
        chosen.append(position)
    return Nested(np.array(scores), np.array(inner), tuple(chosen))
