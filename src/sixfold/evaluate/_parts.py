"""What splitters share: parts of a partition, and strata."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixfold.evaluate.fold import Fold
from sixfold.parts.table import IntArray, Target
from sixfold.parts.units import deal

LAYERS = 10  # quantiles of a value that count as its classes


def from_parts(parts: Sequence[IntArray]) -> list[Fold]:
    """Each part validates once, while all others train."""
    rows = sum(len(part) for part in parts)
    folds = []
    for part in parts:
        inside = np.zeros(rows, dtype=np.bool_)
        inside[part] = True
        folds.append(Fold(np.flatnonzero(~inside), np.flatnonzero(inside)))
    return folds


def strata(target: Target) -> IntArray:
    """[rows] the class of each row, or the quantile its (first) value falls into."""
    if target.task == "classification":
        return np.asarray(target.values, dtype=np.int64)
    values = target.values if target.values.ndim == 1 else target.values[:, 0]
    edges = np.quantile(values, np.linspace(0, 1, LAYERS + 1)[1:-1])
    return np.searchsorted(edges, values).astype(np.int64)


def stratified_parts(
    layers: IntArray, folds: int, seed: int, units: IntArray | None = None
) -> list[IntArray]:
    """Deal the rows of each layer, in random order, to the folds in turn; the turn goes on from
    layer to layer.

    With `units`, whole units are dealt, so that each layer is as even as they allow.
    """
    if units is not None:
        fold_of = deal(layers, units, folds, seed)
        return [np.flatnonzero(fold_of == number) for number in range(folds)]
    shuffled = np.random.default_rng(seed).permutation(len(layers))
    dealt = shuffled[np.argsort(layers[shuffled], kind="stable")]
    return [np.sort(dealt[number::folds]) for number in range(folds)]
