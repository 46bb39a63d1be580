"""Columns that alone predict the target almost perfectly: often they were filled in after it was
known. A warning, no more.

A column is judged out of fold on training rows: by the better of a straight line and a small tree
for values, by a small tree for classes, of a category by what its levels were in the other folds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sixfold.core.seeds import derive
from sixfold.parts.table import BoolArray, Column, Dataset, FloatArray, IntArray
from sixfold.parts.units import deal

CLEAR: Final = (
    0.98  # of the errors that a constant answer makes are gone: guessed; petal width of iris: 0.94
)
EXACT: Final = 0.99  # R²: guessed
MOST_ROWS: Final = 20_000
MOST_VALUES: Final = (
    3_000_000  # rows × columns that are looked at first: 5,000 columns in some seconds
)
LEAST_ROWS: Final = 50  # fewer say little about a rule that was learned on them
FOLDS: Final = 5
LEAVES: Final = 16
PROMISING: Final = 0.7  # of one half of the rows by the other, before all folds are tried
MOST_TRIED: Final = 20  # columns that get all folds, the most promising ones
SHOWN: Final = 3  # columns named


def warning(training: Dataset, seed: int = 0) -> str:
    """Sentences that name the columns and their scores, or ''. Equal rows and groups stay in one
    fold.
    """
    each = [replace(training, target=target) for target in training.target.each]
    return " ".join(filter(None, (_warning(one, seed) for one in each)))


def _warning(training: Dataset, seed: int) -> str:
    """Of one target."""
    if (
        training.target.task in ("reconstruction", "generation", "recommendation", "transcription")
        or len(training.table.columns) < 2
        or training.table.rows < LEAST_ROWS
    ):
        return ""
    rows = _sample(
        training,
        min(MOST_ROWS, MOST_VALUES // len(training.table.columns)),
        derive(seed, "first look"),
    )
    inside = _fold_of(rows, 2, seed) == 0
    first = {
        name: _first_look(column, inside, rows.target.values)
        for name, column in rows.table.columns.items()
    }
    tried = sorted(
        (name for name, score in first.items() if score >= PROMISING), key=lambda name: -first[name]
    )
    if not tried:
        return ""
    more = _sample(training, MOST_ROWS, derive(seed, "lone predictors"))
    scores = {name: _score(name, more, seed) for name in tried[:MOST_TRIED]}
    enough = CLEAR if training.target.task == "classification" else EXACT
    found = sorted(
        (name for name, score in scores.items() if score >= enough), key=lambda name: -scores[name]
    )
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
    return dataset.take(
        np.sort(np.random.default_rng(seed).permutation(rows)[: max(count, LEAST_ROWS)])
    )


def _fold_of(dataset: Dataset, folds: int, seed: int) -> IntArray:
    y, classes = dataset.target.values, dataset.target.task == "classification"
    units = np.arange(len(y)) if dataset.units is None else dataset.units
    return deal(y.astype(np.int64) if classes else np.zeros(len(y), np.int64), units, folds, seed)


def _first_look(column: Column, inside: BoolArray, y: FloatArray | IntArray) -> float:
    """As `_score`, of one half by the other: by the nearest row alone, or a line through all; some
    microseconds a column.
    """
    codes = _codes(column)
    known, new = codes[~inside], codes[inside]
    order = np.argsort(known, kind="stable")
    above = np.minimum(np.searchsorted(known[order], new), len(order) - 1)
    below = np.maximum(above - 1, 0)
    nearer = np.abs(known[order][below] - new) < np.abs(known[order][above] - new)
    guessed, truth = y[~inside][order][np.where(nearer, below, above)], y[inside]
    if y.dtype.kind != "f":
        wrong, most = (
            float(np.mean(guessed != truth)),
            np.bincount(y[~inside].astype(np.int64)).argmax(),
        )
        return 1.0 - wrong / max(float(np.mean(truth != most)), 1.0 / len(y))
    spread = max(float(np.var(y)), float(np.finfo(np.float64).tiny))
    near = 1.0 - float(np.mean((guessed - truth) ** 2)) / spread
    if not column.is_float:
        return near
    values = column.values.astype(np.float64)
    return max(near, float(np.var(_line(values, y.astype(np.float64), values))) / spread)


def _score(name: str, dataset: Dataset, seed: int) -> float:
    """1 - loss / loss of a constant answer, both out of fold: squares for values (R²), errors for
    classes.
    """
    column, target = dataset.table.columns[name], dataset.target
    y = target.values
    fold_of, codes = _fold_of(dataset, FOLDS, seed), _codes(column)
    lost = constant = 0.0
    for fold in range(FOLDS):
        inside = fold_of == fold
        if not inside.any() or inside.all():
            continue
        if target.task == "classification":
            known = y[~inside].astype(np.int64)
            lost += _errors(column, codes, inside, y.astype(np.int64))
            constant += float(np.sum(np.bincount(known).argmax() != y[inside]))
        else:
            lost += _squares(column, codes, inside, y)
            constant += float(np.sum((y[inside] - y[~inside].mean()) ** 2))
    return 1.0 - lost / constant if constant > 0 else 0.0


def _codes(column: Column) -> IntArray:
    """[rows] numbers by their rank, missing far below; categories by their level, missing as -1."""
    missing = column.missing()
    if not column.is_float:
        return column.values.astype(np.int64)
    codes = np.full(len(missing), -len(missing), dtype=np.int64)
    codes[~missing] = np.unique(column.at(np.flatnonzero(~missing)), return_inverse=True)[1]
    return codes


def _scales(column: Column, codes: IntArray) -> list[npt.NDArray[np.float32]]:
    """The column for trees, which split in the middle between two values: by rank, and by value (a
    gap between classes counts), in [0, 1]; single precision holds both.
    """
    values = column.values.astype(np.float64)
    low, high = (np.nanmin(values), np.nanmax(values)) if not np.isnan(values).all() else (0.0, 0.0)
    by_value = np.where(np.isnan(values), -1.0, (values - low) / ((high - low) or 1.0))
    return [codes.astype(np.float32)[:, None], by_value.astype(np.float32)[:, None]]


def _errors(column: Column, codes: IntArray, inside: BoolArray, y: IntArray) -> float:
    known, truth = y[~inside], y[inside]
    if not column.is_float:
        counts = np.zeros((int(codes.max()) + 2, int(known.max()) + 1))
        np.add.at(counts, (codes[~inside] + 1, known), 1.0)
        best = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), np.bincount(known).argmax())
        return float(np.sum(best[codes[inside] + 1] != truth))
    tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, random_state=0)
    return min(
        float(np.sum(tree.fit(x[~inside], known).predict(x[inside]) != truth))
        for x in _scales(column, codes)
    )


def _squares(column: Column, codes: IntArray, inside: BoolArray, y: FloatArray | IntArray) -> float:
    known, truth = y[~inside].astype(np.float64), y[inside]
    if not column.is_float:
        size = int(codes.max()) + 2
        rows = np.bincount(codes[~inside] + 1, minlength=size)
        sums = np.bincount(codes[~inside] + 1, weights=known, minlength=size)
        means = np.where(rows > 0, sums / np.maximum(rows, 1), known.mean())
        return float(np.sum((truth - means[codes[inside] + 1]) ** 2))
    tree = DecisionTreeRegressor(max_leaf_nodes=4 * LEAVES, random_state=0)
    by_tree = min(
        np.sum((truth - tree.fit(x[~inside], known).predict(x[inside])) ** 2)
        for x in _scales(column, codes)
    )
    values = column.values.astype(np.float64)
    line = _line(values[~inside], known, values[inside])
    return float(min(by_tree, np.sum((truth - line) ** 2)))


def _line(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """The line of least squares through the rows that have a value; the mean for those that have
    none.
    """
    have = ~np.isnan(x)
    center, middle = (x[have].mean(), y[have].mean()) if have.any() else (0.0, y.mean())
    spread = np.sum((x[have] - center) ** 2)
    slope = np.sum((x[have] - center) * (y[have] - middle)) / spread if spread > 0 else 0.0
    return np.asarray(
        np.where(np.isnan(new), y.mean(), middle + slope * (new - center)), dtype=np.float64
    )
