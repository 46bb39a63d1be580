"""Nested cross-validation: the outer rows score a choice that was made without them (Varma and
Simon, 2006).

The best of many means is too good: it was chosen by the very folds it is stated on. Here every
outer fold's training rows are divided once more, those inner folds choose, and the outer validation
rows score what they chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean, stdev

from sixfold.core.errors import DataError, RecipeError
from sixfold.core.seeds import derive
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import baseline
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.parts.table import Dataset, Target
from sixfold.recipe.receipt import Nested, Outer
from sixfold.recipe.schema import Evaluate


def outer_folds(evaluate: Evaluate, dataset: Dataset) -> list[Fold]:
    """`evaluate.nested` folds by the recipe's own scheme and seed (`repeated`: once); none where it
    is left out.

    Raises DataError where rows, rows of a class, groups or moments are fewer than these folds.
    """
    if evaluate.nested is None:
        return []
    repeats = 1 if evaluate.scheme == "repeated" else None
    return make(
        evaluate.model_copy(
            update={"folds": evaluate.nested, "repeats": repeats, "ensemble": False}
        ),
        dataset,
    )


def inside(evaluate: Evaluate, number: int) -> Evaluate:
    """The section `evaluate` of outer fold `number`: everything as it is, with a seed of its own,
    and not nested again.
    """
    return evaluate.model_copy(
        update={"nested": None, "seed": derive(evaluate.seed, "inner folds", number)}
    )


def divide(evaluate: Evaluate, dataset: Dataset, metrics: Sequence[str]) -> float:
    """Try every division before anything is trained; the training rows of all outer folds, in
    multiples of the dataset's.

    Raises DataError where rows (or their classes, groups, moments) are too few for the outer folds,
    or an outer fold's training rows to be divided once more; RecipeError where some fold does not
    define the first metric.
    """
    total = 0
    for number, (where, remedy, rows, folds) in enumerate(_divisions(evaluate, dataset)):
        with _placed(where, remedy):
            baseline(rows, folds, metrics)
        total += sum(len(fold.train) for fold in folds) if number == 0 else 0
    return total / max(1, dataset.table.rows)


def scored_parts(evaluate: Evaluate, dataset: Dataset, folds: Sequence[Fold]) -> Iterator[Target]:
    """The target of everything that is scored: the validation rows of `folds`, of the outer folds
    and of those inside them.

    Raises as `divide`.
    """
    yield from (dataset.target.take(fold.validation) for fold in folds)
    for _, _, rows, inner in _divisions(evaluate, dataset):
        yield from (rows.target.take(fold.validation) for fold in inner)


def _divisions(
    evaluate: Evaluate, dataset: Dataset
) -> Iterator[tuple[str, str, Dataset, list[Fold]]]:
    """Place and remedy of a mistake, rows and folds: of the outer folds, and then inside of each;
    nothing without `nested`.
    """
    if evaluate.nested is None:
        return
    remedy = "Lower evaluate.nested, or leave it out."
    with _placed("", remedy):
        outer = outer_folds(evaluate, dataset)
    yield "", remedy, dataset, outer
    remedy = "Raise evaluate.nested (more rows train), lower evaluate.folds, or leave nested out."
    for number, fold in enumerate(outer):
        training, where = (
            dataset.take(fold.train),
            f", training rows of outer fold {number + 1} of {len(outer)}",
        )
        with _placed(where, remedy):
            inner = make(inside(evaluate, number), training)
        yield where, remedy, training, inner


@contextmanager
def _placed(where: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (DataError, RecipeError) as error:
        raise type(error)(
            f"evaluate.nested{where}: {error.where}", error.expected, error.found, remedy
        ) from None


def summary(metric: str, outer: Sequence[Outer]) -> Nested:
    """Mean and spread (n - 1) of the outer scores, and the optimism: the mean of inner - outer,
    greater is better.
    """
    greater, scores = scoring.greater_is_better(metric), [fold.score for fold in outer]
    optimism = fmean(fold.inner - fold.score for fold in outer) * (1.0 if greater else -1.0)
    return Nested(
        metric=metric,
        greater_is_better=greater,
        folds=tuple(outer),
        mean=fmean(scores),
        spread=stdev(scores),
        optimism=optimism,
    )
