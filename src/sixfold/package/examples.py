"""Rows that say where a model fails: the most wrong, the most unsure, and some of every cell of the
confusion matrix.

Of out-of-fold predictions alone: no model is asked about a row that it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from sixfold.bundle.modality_reader import reader_of
from sixfold.data.raw import text_rows
from sixfold.evaluate import curves, out_of_fold
from sixfold.evaluate.cross_validation import Evaluation
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.metrics.transcription import edits
from sixfold.parts.modality import is_modality
from sixfold.parts.table import Dataset, FloatArray, IntArray, Table
from sixfold.parts.transcripts import texts_of
from sixfold.recipe.report import ExampleList, ShownExample, ShownValue

MOST_IN_CELLS = 150  # rows of all cells together: those of the commonest mistakes first
MOST_VALUES = 6  # of a row: texts and images, then the columns that matter most
LONGEST_TEXT = 280  # characters of a text
LONGEST_VALUE = 60  # of any other value


@dataclass(frozen=True)
class OutOfFold:
    """Of the rows that some fold validates: `rows` [n]; of each the true and the predicted class
    `truth`, `predicted` [n]; `sure`: how far the decision is from another one [n]; `wrong`: how
    much the true class is behind [n], 0 where it is right.
    """

    rows: IntArray
    truth: IntArray
    predicted: IntArray
    sure: FloatArray
    wrong: FloatArray


def examples(
    training: Dataset,
    evaluation: Evaluation,
    folds: Sequence[Fold],
    importances: Sequence[str],
    most: int,
) -> tuple[ExampleList, ...]:
    """Lists of at most `most` rows each. `importances`: columns, those that matter most first; they
    are shown first.
    """
    shown = _shown_columns(training.table, importances)
    if most == 0 or not len(curves.seen(evaluation.predictions)):
        return ()
    if training.target.task == "transcription":
        return (_worst_texts(training, evaluation, shown, most),)
    if training.target.task != "classification":
        return (_worst_values(training, evaluation, shown, most),)
    found = _classified(training, evaluation, folds)
    describe = _Describing(training, evaluation, found, shown)
    lists = [*_extremes(found, most, describe)]
    if len(training.target.classes) <= curves.MOST_CELLS:
        lists += _cells(found, most, describe)
    return tuple(each for each in lists if each.examples)


def _classified(training: Dataset, evaluation: Evaluation, folds: Sequence[Fold]) -> OutOfFold:
    labels = out_of_fold.labels(evaluation, folds)
    rows = np.flatnonzero(labels >= 0)
    scores, predicted, truth = (
        evaluation.predictions[rows],
        labels[rows],
        training.target.values[rows].astype(np.int64),
    )
    limits = out_of_fold.thresholds_of(evaluation, folds)
    if limits is not None:
        sure = np.abs(scores[:, 1] - limits[rows])
        return OutOfFold(rows, truth, predicted, sure, np.where(predicted == truth, 0.0, sure))
    at = np.arange(len(rows))
    ordered = np.sort(scores, axis=1)
    return OutOfFold(
        rows,
        truth,
        predicted,
        ordered[:, -1] - ordered[:, -2],
        scores[at, predicted] - scores[at, truth],
    )


def _extremes(found: OutOfFold, most: int, describe: _Describing) -> Iterator[ExampleList]:
    mistaken = np.flatnonzero(found.predicted != found.truth)
    worst = mistaken[np.argsort(-found.wrong[mistaken], kind="stable")][:most]
    yield ExampleList(kind="wrong", rows=len(mistaken), examples=describe(worst))
    unsure = np.argsort(found.sure, kind="stable")[:most]
    yield ExampleList(kind="unsure", rows=len(found.rows), examples=describe(unsure))


def _cells(found: OutOfFold, most: int, describe: _Describing) -> Iterator[ExampleList]:
    """Mistakes by how wrong they are, the commonest first; then what is right by how unsure it
    is.
    """
    pairs = np.stack([found.truth, found.predicted], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.lexsort((-counts, kinds[:, 0] == kinds[:, 1]))[:MOST_IN_CELLS]
    each = min(most, max(1, MOST_IN_CELLS // max(1, len(order))))
    for truth, predicted in kinds[order].tolist():
        own = np.flatnonzero((found.truth == truth) & (found.predicted == predicted))
        by = found.sure[own] if truth == predicted else -found.wrong[own]
        some = describe(own[np.argsort(by, kind="stable")][:each])
        yield ExampleList(
            kind="cell", truth=truth, predicted=predicted, rows=len(own), examples=some
        )


@dataclass(frozen=True)
class _Describing:
    """From places in `found` to what is shown of these rows."""

    training: Dataset
    evaluation: Evaluation
    found: OutOfFold
    columns: Sequence[str]

    def __call__(self, places: IntArray) -> tuple[ShownExample, ...]:
        rows, classes = self.found.rows[places], self.training.target.classes
        scores = self.evaluation.predictions
        return tuple(
            ShownExample(
                row=int(row),
                truth=classes[truth],
                predicted=classes[predicted],
                score=_rounded(scores[row, predicted]),
                truth_score=_rounded(scores[row, truth]),
                values=values,
            )
            for row, truth, predicted, values in zip(
                rows,
                self.found.truth[places],
                self.found.predicted[places],
                _values(self, rows),
                strict=True,
            )
        )


def _values(describing: _Describing, rows: IntArray) -> list[tuple[ShownValue, ...]]:
    return shown_values(describing.training.table, rows, describing.columns)


def _worst_values(
    training: Dataset, evaluation: Evaluation, shown: Sequence[str], most: int
) -> ExampleList:
    """Predictions that are furthest off, of several values by their own spreads; of each the value
    that is furthest off.
    """
    rows, target = curves.seen(evaluation.predictions), training.target
    if target.quantiles:
        return _worst_intervals(training, evaluation, shown, most)
    truth = target.values.reshape(len(target.values), -1)[rows]
    predicted = evaluation.predictions[rows]
    spread = truth.std(axis=0)
    off = np.abs(predicted - truth) / np.where(spread > 0, spread, 1.0)
    places = np.argsort(-np.linalg.norm(off, axis=1), kind="stable")[:most]
    values = shown_values(training.table, rows[places], shown)
    found = []
    for place, own in zip(places.tolist(), values, strict=True):
        at = int(off[place].argmax())
        name = f"{target.names[at]} " if truth.shape[1] > 1 else ""
        texts = (f"{name}{truth[place, at]:.6g}", f"{predicted[place, at]:.6g}")
        found.append(
            ShownExample(row=int(rows[place]), truth=texts[0], predicted=texts[1], values=own)
        )
    return ExampleList(kind="wrong", rows=len(rows), examples=tuple(found))


def _worst_texts(
    training: Dataset, evaluation: Evaluation, shown: Sequence[str], most: int
) -> ExampleList:
    """Texts with the most wrong characters, as a share of their own."""
    rows = curves.seen(evaluation.predictions)
    target, predicted = training.target.take(rows), evaluation.predictions[rows]
    found = edits(target, predicted, words=False)
    places = np.argsort(-found.wrong / np.maximum(found.there, 1), kind="stable")[:most]
    cut = _cut(LONGEST_TEXT)
    pairs = zip(texts_of(target.values[places]), texts_of(predicted[places]), strict=True)
    values = shown_values(training.table, rows[places], shown)
    examples = tuple(
        ShownExample(row=int(rows[place]), truth=cut(truth), predicted=cut(said), values=own)
        for place, (truth, said), own in zip(places.tolist(), pairs, values, strict=True)
    )
    return ExampleList(kind="wrong", rows=len(rows), examples=examples)


def _worst_intervals(
    training: Dataset, evaluation: Evaluation, shown: Sequence[str], most: int
) -> ExampleList:
    """Rows that are farthest from the interval of the lowest and the highest quantile."""
    rows = curves.seen(evaluation.predictions)
    truth, predicted = training.target.values[rows], evaluation.predictions[rows]
    beyond = np.maximum(predicted[:, 0] - truth, truth - predicted[:, -1])
    places = np.argsort(-beyond, kind="stable")[:most]
    values = shown_values(training.table, rows[places], shown)
    found = tuple(
        ShownExample(
            row=int(rows[place]),
            truth=f"{truth[place]:.6g}",
            predicted=" to ".join(f"{end:.6g}" for end in _ends(predicted[place])),
            values=own,
        )
        for place, own in zip(places.tolist(), values, strict=True)
    )
    return ExampleList(kind="wrong", rows=len(rows), examples=found)


def _ends(predicted: FloatArray) -> list[float]:
    return [float(predicted[0]), float(predicted[-1])] if len(predicted) > 1 else predicted.tolist()


def shown_values(
    table: Table, rows: IntArray, columns: Sequence[str]
) -> list[tuple[ShownValue, ...]]:
    """Of each of `rows` the values of `columns`, cut."""
    part = table.take(rows)
    files = {
        name
        for name in columns
        if is_modality(part.columns[name].kind) and _is_file(part.columns[name].kind)
    }
    plain = [name for name in columns if name not in files]
    texts = {name: [cells[name] for cells in text_rows(part, plain)] for name in plain}
    for name in files:
        texts[name] = list(map(_file_name, part.columns[name].strings()))
    kinds = {name: part.columns[name].kind for name in columns}
    cut: dict[str, Callable[[str], str]] = {name: _cut(LONGEST_VALUE) for name in columns}
    cut |= {name: _cut(LONGEST_TEXT) for name in plain if is_modality(kinds[name])}
    return [
        tuple(
            ShownValue(column=name, type=kinds[name], text=cut[name](texts[name][row]))
            for name in columns
        )
        for row in range(len(rows))
    ]


def _shown_columns(table: Table, importances: Sequence[str]) -> list[str]:
    """Texts and images, then others by their importance; no identifiers, which tell nothing."""
    by_importance = {name: place for place, name in enumerate(importances)}
    kinds = {
        name: column.kind for name, column in table.columns.items() if column.kind != "identifier"
    }
    last = len(importances)
    ordered = sorted(
        kinds, key=lambda name: (not is_modality(kinds[name]), by_importance.get(name, last))
    )
    return ordered[:MOST_VALUES]


def _is_file(modality: str) -> bool:
    return reader_of(modality).in_files


def _file_name(path: str) -> str:
    """With its folder, which may be its class: not where it lies on this machine."""
    return "/".join(PurePath(path).parts[-2:])


def _cut(longest: int) -> Callable[[str], str]:
    return lambda text: text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _rounded(value: float) -> float:
    return float(format(value, ".4g"))
