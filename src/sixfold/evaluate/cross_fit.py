"""Scores of training rows by models that did not see them: what calibrators and thresholds are
fitted on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sixfold.core.errors import DataError
from sixfold.core.seeds import derive
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import divided, scheme_of
from sixfold.parts.table import BoolArray, Dataset, FloatArray, IntArray
from sixfold.recipe.kinds import SPLITTER
from sixfold.recipe.schema import Evaluate
from sixfold.runs.context import Context, Emit

if TYPE_CHECKING:  # the model is calibrated by what is fitted here
    from sixfold.evaluate.model import Model

FOLDS = 3  # inner folds; their fits take twice the time of the model's own, 3 · 2/3


class CrossFit(NamedTuple):
    """`rows`: int64 [rows], those that an inner fold validates. `scores`: float64 [rows, classes].
    `seen`: whether the class was among the training rows of the row's model, bool [rows, classes].
    """

    rows: IntArray
    scores: FloatArray
    seen: BoolArray


def cross_fit(
    training: Dataset, fit: Callable[[Dataset, Context], Model], context: Context
) -> CrossFit:
    """Fit on the rows of all inner folds but one, and predict that one, in turn. Time left is
    divided among the fits.

    Groups stay whole, the past predicts the future, classes have their shares, as in
    `evaluate: {scheme: auto}`. Nothing is emitted but that a fit was cut short: curves and progress
    are those of the model itself. Raises DataError where rows allow no two folds.
    """
    folds = _folds(training, context.seed)
    classes = np.arange(training.target.outputs)
    rows, scores, seen = [], [], []
    for number, fold in enumerate(folds):
        part = replace(context.within(number), emit_to=partial(_cuts, context.emit_to))
        if context.deadline is not None:
            part = replace(
                part, deadline=time.monotonic() + context.left_s() / (len(folds) - number)
            )
        known = training.take(fold.train)
        scores.append(fit(known, part).predict(training.table.take(fold.validation)))
        rows.append(fold.validation)
        seen.append(np.tile(np.isin(classes, known.target.values), (len(fold.validation), 1)))
    return CrossFit(np.concatenate(rows), np.concatenate(scores), np.concatenate(seen))


def _cuts(emit: Emit, kind: str, facts: dict[str, Any]) -> None:
    if facts.get("cut"):
        emit(kind, facts)


def _folds(training: Dataset, seed: int) -> list[Fold]:
    scheme, _ = scheme_of(Evaluate(), training)
    parts, what = training.table.rows, "rows"
    if training.units is not None and (training.groups is not None or training.times is None):
        parts, what = (
            len(np.unique(training.units)),
            "groups" if training.groups is not None else "different rows",
        )
    elif training.times is not None:
        parts, what = len(np.unique(training.times)) - 1, "moments after the first"
    if parts < 2:
        raise DataError(
            "train",
            f"at least 2 {what} among the training rows of every fold, to fit calibrate and threshold on",
            str(parts),
            "Leave calibrate and threshold out.",
        )
    settings = SPLITTER.make({"name": scheme, "folds": min(FOLDS, parts)})
    return divided(settings, training, derive(seed, "folds"))
