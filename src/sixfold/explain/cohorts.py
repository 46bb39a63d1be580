"""Where a model is worst: slices of the training rows by one column, or by two, whose out-of-fold
loss is far above that of all rows (in the spirit of Chung et al., 2019, "Slice Finder").
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from sixfold.evaluate import out_of_fold
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.transcription import edits
from sixfold.evaluate.metrics.values import PinballLoss
from sixfold.evaluate.shuffling import Effort
from sixfold.parts.modality import is_modality
from sixfold.parts.table import BoolArray, Column, Dataset, FloatArray, Target

LEAST_ROWS: Final = 20
LEAST_SHARE: Final = 0.01
QUARTERS: Final = (0.25, 0.5, 0.75)
LEVELS: Final = 8  # of a category, the most frequent ones
PAIRED: Final = 20  # slices by one column, the worst, that are crossed
FAR: Final = 3.0  # standard errors above the mean of all rows
SHOWN: Final = 10


class Slice(NamedTuple):
    """Rows in words, which they are, and how many standard errors their mean loss is above that of
    all rows.
    """

    text: str
    columns: tuple[str, ...]
    rows: BoolArray
    loss: float
    apart: float


class WorstSlices(NamedTuple):
    """Slices whose loss is far above `overall`, the farthest first; `tried`: how many there were."""

    overall: float
    tried: int
    slices: tuple[Slice, ...]


def row_losses(training: Dataset, evaluation: Evaluation, folds: Sequence[Fold]) -> FloatArray:
    """[rows] 1 for a wrong class, 0 for a right one; of values the mean distance, of quantiles the pinball loss, of texts
    the share of wrong characters; NaN for rows that no fold validates.
    """
    target = training.target
    if target.task == "classification":
        labels = out_of_fold.labels(evaluation, folds)
        wrong = (labels != target.values.astype(np.int64)).astype(np.float64)
        return np.where(labels < 0, np.nan, wrong)
    if target.quantiles:
        return PinballLoss().rows(target, evaluation.predictions)
    if target.task == "transcription":
        return _edits(target, evaluation.predictions)
    values = np.asarray(target.values, dtype=np.float64).reshape(len(evaluation.predictions), -1)
    predicted = evaluation.predictions.reshape(values.shape)
    return np.asarray(np.abs(predicted - values).mean(axis=1), dtype=np.float64)


def _edits(target: Target, predictions: FloatArray) -> FloatArray:
    """[rows] wrong characters of each text, as a share of its own."""
    seen = np.isfinite(predictions).all(axis=1)
    found = edits(target, np.nan_to_num(predictions), words=False)
    return np.where(seen, found.wrong / np.maximum(found.there, 1), np.nan)


def worst_slices(training: Dataset, loss: FloatArray, effort: Effort | None = None) -> WorstSlices:
    """By every column of the table that is none of texts or files, as far as there is time."""
    effort = effort or Effort()
    seen = np.isfinite(loss)
    judge = _Judge.of(loss[seen])
    if judge.spread == 0.0:
        return WorstSlices(judge.mean, 0, ())
    single = [
        judge.slice(text, (name,), rows[seen])
        for name, column in training.table.columns.items()
        if not effort.over()
        for text, rows in _parts(name, column)
    ]
    large = sorted(filter(None, single), key=lambda each: -each.apart)
    crossed = [
        judge.crossed(one, other)
        for one, other in itertools.combinations(large[:PAIRED], 2)
        if one.columns != other.columns and not effort.over()
    ]
    found = [each for each in (*large, *filter(None, crossed)) if each.apart >= FAR]
    found.sort(key=lambda each: -each.apart)
    return WorstSlices(judge.mean, len(single) + len(crossed), tuple(found[:SHOWN]))


class _Judge(NamedTuple):
    """The losses of all rows, their mean, and their spread."""

    losses: FloatArray
    mean: float
    spread: float

    @classmethod
    def of(cls, losses: FloatArray) -> _Judge:
        """Of rows that some fold validates."""
        if not len(losses):
            return cls(losses, 0.0, 0.0)
        return cls(losses, float(losses.mean()), float(losses.std()))

    def slice(self, text: str, columns: tuple[str, ...], rows: BoolArray) -> Slice | None:
        """None for too few rows, or all of them."""
        count, every = int(rows.sum()), len(self.losses)
        if count < max(LEAST_ROWS, LEAST_SHARE * every) or count == every:
            return None
        mean = float(self.losses[rows].mean())
        apart = (mean - self.mean) * math.sqrt(count) / self.spread
        return Slice(text, columns, rows, mean, apart)

    def crossed(self, one: Slice, other: Slice) -> Slice | None:
        """Of rows in both; None where they are no worse than one of the two."""
        text, columns = f"{one.text} and {other.text}", one.columns + other.columns
        both = self.slice(text, columns, one.rows & other.rows)
        return both if both is not None and both.loss > max(one.loss, other.loss) else None


def _parts(name: str, column: Column) -> Iterator[tuple[str, BoolArray]]:
    """Slices by one column, in words."""
    if is_modality(column.kind):
        return
    values, missing = column.values, column.missing()
    if missing.any():
        yield f"{name} is missing", missing
    if column.is_float and column.kind == "number":
        known = values[~missing]
        edges = np.unique(np.quantile(known, QUARTERS)).tolist() if len(known) else []
        bounds = [-math.inf, *edges, math.inf]
        for low, high in itertools.pairwise(bounds):
            yield _between(name, low, high), (values > low) & (values <= high)
        return
    codes, counts = np.unique(values[~missing], return_counts=True)
    for code in codes[np.argsort(-counts, kind="stable")[:LEVELS]].tolist():
        shown = f"{code:g}" if column.is_float else column.levels[int(code)]
        yield f"{name} = {shown}", values == code


def _between(name: str, low: float, high: float) -> str:
    if math.isinf(low):
        return f"{name} ≤ {high:.4g}" if math.isfinite(high) else f"{name} is known"
    return f"{name} > {low:.4g}" if math.isinf(high) else f"{low:.4g} < {name} ≤ {high:.4g}"
