"""What each of several targets scores, and how right each quantile is, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.quantiles import intervals
from sixfold.parts.table import BoolArray, FloatArray, Target, quantile_name
from sixfold.recipe.report import OutputScores

Measure = Callable[[Target, FloatArray], float]


def output_scores(
    target: Target, winner: Evaluation, folds: Sequence[Fold]
) -> tuple[OutputScores, ...]:
    """Of the winner's out-of-fold predictions (where a row is validated several times, of their mean); () where a row
    has one value.
    """
    if target.quantiles:
        return tuple(
            _scored(name, measures, _Parts(target, winner.predictions, folds))
            for name, measures in _of_quantiles(target).items()
        )
    each = target.each
    return tuple(
        _scored(one.names[0], _metrics(winner), _Parts(one, winner.predictions[:, [at]], folds))
        for at, one in enumerate(each if len(each) > 1 else ())
    )


class _Parts:
    """The validation rows of every fold that was done, as far as they count."""

    def __init__(self, target: Target, predictions: FloatArray, folds: Sequence[Fold]) -> None:
        known: BoolArray = np.asarray(np.isfinite(predictions).all(axis=1))
        if target.weights is not None:
            known &= target.weights > 0
        rows = [fold.validation[known[fold.validation]] for fold in folds]
        self.parts = [(target.take(own), predictions[own]) for own in rows if len(own)]

    def by(self, measure: Measure) -> tuple[float, ...]:
        """Of every fold."""
        return tuple(float(measure(target, predicted)) for target, predicted in self.parts)


def _scored(name: str, measures: dict[str, Measure], parts: _Parts) -> OutputScores:
    found = {what: parts.by(measure) for what, measure in measures.items()}
    finite = {what: scores for what, scores in found.items() if np.isfinite(scores).all()}
    return OutputScores(name=name, scores=finite)


def _metrics(winner: Evaluation) -> dict[str, Measure]:
    def measure(name: str) -> Measure:
        return lambda target, predicted: _score(name, target, predicted, winner)

    return {name: measure(name) for name in winner.metrics}


def _score(name: str, target: Target, predicted: FloatArray, winner: Evaluation) -> float:
    found = scoring.score_all([name], target, predicted, winner.output)[name]
    return np.nan if found is None else found


def _of_quantiles(target: Target) -> dict[str, dict[str, Measure]]:
    found = {
        quantile_name(quantile): {"rows_below": _below(at)}
        for at, quantile in enumerate(target.quantiles)
    }
    for low, high, share in intervals(target.quantiles):
        ends = [quantile_name(target.quantiles[at]) for at in (low, high)]
        name = f"{ends[0]} to {ends[1]}, {100 * share:.4g}% of the rows"
        found[name] = {"rows_inside": _inside(low, high), "width": _width(low, high)}
    return found


def _below(at: int) -> Measure:
    return lambda target, predicted: target.mean(target.values <= predicted[:, at])


def _inside(low: int, high: int) -> Measure:
    return lambda target, predicted: target.mean(
        (predicted[:, low] <= target.values) & (target.values <= predicted[:, high])
    )


def _width(low: int, high: int) -> Measure:
    return lambda target, predicted: target.mean(predicted[:, high] - predicted[:, low])
