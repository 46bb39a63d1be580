"""Columns that alone predict the target almost perfectly: often they were filled in after it was known. A warning, no more.

A column is judged out of fold on training rows: by the better of a straight line and a small tree for values, by a small tree
for classes, of a category by what its levels were in the other folds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sixfold.core.seeds import derive
from sixfold.parts.table import Column, Dataset, FloatArray, IntArray
from sixfold.parts.units import deal

CLEAR: Final = 0.98  # of the errors that a constant answer makes are gone: guessed; petal width of iris: 0.94
EXACT: Final = 0.99  # R²: guessed
MOST_ROWS: Final = 20_000
MOST_VALUES: Final = 3_000_000  # rows × columns that are looked at first: 5,000 columns in some seconds
LEAST_ROWS: Final = 50  # fewer say little about a rule that was learned on them
FOLDS: Final = 5
LEAVES: Final = 16
PROMISING: Final = 0.9  # of one half of the rows by the other, before all folds are tried
MOST_TRIED: Final = 20  # columns that get all folds, the most promising ones
SHOWN: Final = 3  # columns named


def warning(training: Dataset, seed: int = 0) -> str:
    """A sentence that names the columns and their scores, or ''. Equal rows and groups stay in one fold."""
    if training.target.task == "reconstruction" or len(training.table.columns) < 2 or training.table.rows < LEAST_ROWS:
        return ""
    rows = _sample(training, min(MOST_ROWS, MOST_VALUES // len(training.table.columns)), derive(seed, "first look"))
    first = {name: _score(name, rows, 2, seed) for name in rows.table.columns}
    tried = sorted((name for name, score in first.items() if score >= PROMISING), key=lambda name: -first[name])
    if not tried:
        return ""
    more = _sample(training, MOST_ROWS, derive(seed, "lone predictors"))
    scores = {name: _score(name, more, FOLDS, seed) for name in tried[:MOST_TRIED]}
    enough = CLEAR if training.target.task == "classification" else EXACT
    found = sorted((name for name, score in scores.items() if score >= enough), key=lambda name: -scores[name])
    return _told(found, scores, training) if found else ""


def _told(found: list[str], scores: dict[str, float], training: Dataset) -> str:
    named = ", ".join(f"{name} ({_shown(scores[name], training)})" for name in found[:SHOWN])
    others = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    alone = "alone predicts" if len(found) == 1 else "each alone predict"
    return (
        f"{named}{others} {alone} {training.target.names[0]} almost perfectly, out of fold on training rows. If it is known "
        f"only after {training.target.names[0]} is, leave it out: data.drop: [{found[0]!r}]."
    )


def _shown(share: float, training: Dataset) -> str:
    if training.target.task != "classification":
        return f"R² {share:.4f}"
    most = np.bincount(training.target.values.astype(np.int64)).max() / training.table.rows
    return f"accuracy {1.0 - (1.0 - share) * (1.0 - most):.4f}, the largest class alone {most:.4f}"


def _sample(dataset: Dataset, count: int, seed: int) -> Dataset:
    rows = dataset.table.rows
    if rows <= count:
        return dataset
    return dataset.take(np.sort(np.random.default_rng(seed).permutation(rows)[: max(count, LEAST_ROWS)]))


def _score(name: str, dataset: Dataset, folds: int, seed: int) -> float:
    """1 - loss / loss of a constant answer, both out of fold: squares for values (R²), errors for classes."""
    column, target = dataset.table.columns[name], dataset.target
    y = target.values
    units = np.arange(len(y)) if dataset.units is None else dataset.units
    fold_of = deal(
        y.astype(np.int64) if target.task == "classification" else np.zeros(len(y), np.int64), units, folds, seed
    )
    codes = _codes(column)
    lost = constant = 0.0
    for fold in range(folds if folds > 2 else 1):
        inside = fold_of == fold
        if not inside.any() or inside.all():
            continue
        if target.task == "classification":
            known = y[~inside].astype(np.int64)
            lost += float(np.sum(_classes(column, codes, inside, known) != y[inside]))
            constant += float(np.sum(np.bincount(known).argmax() != y[inside]))
        else:
            lost += _squares(column, codes, inside, y)
            constant += float(np.sum((y[inside] - y[~inside].mean()) ** 2))
    return 1.0 - lost / constant if constant > 0 else 0.0


def _codes(column: Column) -> IntArray:
    """[rows] numbers by their rank, categories by their level, missing as -1: exact in the single precision of trees."""
    missing = column.missing()
    if column.values.dtype.kind != "f":
        return column.values.astype(np.int64)
    codes = np.full(len(missing), -1, dtype=np.int64)
    codes[~missing] = np.unique(column.values[~missing], return_inverse=True)[1]
    return codes


def _classes(
    column: Column, codes: IntArray, inside: np.ndarray[tuple[int], np.dtype[np.bool_]], known: IntArray
) -> IntArray:
    if column.values.dtype.kind != "f":
        size = int(codes.max()) + 2
        counts = np.zeros((size, int(known.max()) + 1))
        np.add.at(counts, (codes[~inside] + 1, known), 1.0)
        best = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), np.bincount(known).argmax())
        return np.asarray(best[codes[inside] + 1])
    x = codes.astype(np.float32)[:, None]
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=1, random_state=0)
    return np.asarray(tree.fit(x[~inside], known).predict(x[inside]))


def _squares(
    column: Column, codes: IntArray, inside: np.ndarray[tuple[int], np.dtype[np.bool_]], y: FloatArray | IntArray
) -> float:
    known, truth = y[~inside].astype(np.float64), y[inside]
    if column.values.dtype.kind != "f":
        size = int(codes.max()) + 2
        rows = np.bincount(codes[~inside] + 1, minlength=size)
        sums = np.bincount(codes[~inside] + 1, weights=known, minlength=size)
        means = np.where(rows > 0, sums / np.maximum(rows, 1), known.mean())
        return float(np.sum((truth - means[codes[inside] + 1]) ** 2))
    x = codes.astype(np.float32)[:, None]
    tree = DecisionTreeRegressor(max_leaf_nodes=4 * LEAVES, min_samples_leaf=1, random_state=0)
    by_tree = np.sum((truth - tree.fit(x[~inside], known).predict(x[inside])) ** 2)
    line = _line(column.values[~inside].astype(np.float64), known, column.values[inside].astype(np.float64))
    return float(min(by_tree, np.sum((truth - line) ** 2)))


def _line(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """The line of least squares through the rows that have a value; the mean for those that have none."""
    have = ~np.isnan(x)
    center, middle = (x[have].mean(), y[have].mean()) if have.any() else (0.0, y.mean())
    spread = np.sum((x[have] - center) ** 2)
    slope = np.sum((x[have] - center) * (y[have] - middle)) / spread if spread > 0 else 0.0
    return np.where(np.isnan(new), y.mean(), middle + slope * (new - center))
