"""Nested cross-validation: the outer rows score a choice that was made without them (Varma and Simon, 2006).

The best of many means is too good: it was chosen by the very folds it is stated on. Here every outer fold's training rows are
divided once more, those inner folds choose, and the outer validation rows score what they chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.seeds import derive
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.parts.table import Dataset
from sixfold.recipe.receipt import Nested, Outer
from sixfold.recipe.schema import Evaluate


def outer_folds(evaluate: Evaluate, dataset: Dataset) -> list[Fold]:
    """`evaluate.nested` folds by the recipe's own scheme and seed (`repeated`: once); none where it is left out.

    Raises DataError where rows, rows of a class, groups or moments are fewer than these folds.
    """
    if evaluate.nested is None:
        return []
    repeats = 1 if evaluate.scheme == "repeated" else None
    section = evaluate.model_copy(update={"folds": evaluate.nested, "repeats": repeats, "ensemble": False})
    try:
        return make(section, dataset)
    except DataError as error:
        where = f"evaluate.nested: {error.where}"
        raise DataError(where, error.expected, error.found, "Lower evaluate.nested, or leave it out.") from None


def inside(evaluate: Evaluate, number: int) -> Evaluate:
    """The section `evaluate` of outer fold `number`: everything as it is, with a seed of its own, and not nested again."""
    return evaluate.model_copy(update={"nested": None, "seed": derive(evaluate.seed, "inner folds", number)})


def divide(evaluate: Evaluate, dataset: Dataset, metrics: Sequence[str]) -> float:
    """Try every division before anything is trained; the training rows of all outer folds, in multiples of the dataset's.

    Raises DataError where an outer fold's training rows (or their classes, groups, moments) are too few to be divided once
    more, RecipeError where some fold does not define the first metric.
    """
    outer = outer_folds(evaluate, dataset)
    if outer:
        baseline(dataset, outer, metrics)
    for number, fold in enumerate(outer):
        training = dataset.take(fold.train)
        try:
            baseline(training, make(inside(evaluate, number), training), metrics)
        except (DataError, RecipeError) as error:
            where = f"evaluate.nested, training rows of outer fold {number + 1} of {len(outer)}: {error.where}"
            remedy = f"{error.remedy} More outer folds leave more rows to train on."
            raise type(error)(where, error.expected, error.found, remedy) from None
    return sum(len(fold.train) for fold in outer) / max(1, dataset.table.rows)


def summary(metric: str, outer: Sequence[Outer]) -> Nested:
    """Mean and spread (n - 1) of the outer scores, and the optimism: the mean of inner - outer, greater is better."""
    greater, scores = scoring.greater_is_better(metric), [fold.score for fold in outer]
    optimism = fmean(fold.inner - fold.score for fold in outer) * (1.0 if greater else -1.0)
    return Nested(
        metric=metric, greater_is_better=greater, folds=tuple(outer), mean=fmean(scores), spread=stdev(scores),
        optimism=optimism,
    )  # fmt: skip
