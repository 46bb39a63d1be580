"""Whole units of rows: rows that are equal, or of one group, and stay on one side whenever rows are
divided.

`units`: int64 [rows], equal numbers for rows of one unit. `layers`: int64 [rows], what is divided
in proportion (classes).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sixfold.parts.table import BoolArray, IntArray

MOST_CUT_OFF = (
    1 / 3
)  # of the rows, rather than none: the others have to be enough to learn from; guessed


def merged(first: IntArray | None, second: IntArray) -> IntArray:
    """Units of rows that share a unit of the one or of the other, directly or through other
    rows.
    """
    if first is None:
        return second
    left, a = np.unique(first, return_inverse=True)
    right, b = np.unique(second, return_inverse=True)
    size = len(left) + len(right)
    links = coo_array((np.ones(len(a), dtype=np.int8), (a, b + len(left))), shape=(size, size))
    _, found = connected_components(links, directed=False)
    return np.asarray(found[a], dtype=np.int64)


def deal(layers: IntArray, units: IntArray, folds: int, seed: int) -> IntArray:
    """[rows] the fold of each row: whole units, each layer as evenly over the folds as its units
    allow.

    Of a layer the largest units first, each to the fold that has the fewest rows of the layer;
    single rows fill up.
    """
    _, of_row, sizes = np.unique(units, return_inverse=True, return_counts=True)
    kinds = _layer_of_units(layers, of_row)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.lexsort((-sizes[shuffled], kinds[shuffled]))]
    runs = np.flatnonzero(np.diff(kinds[order], prepend=-1) | np.diff(sizes[order], prepend=0))
    fold_of, totals = np.zeros(len(sizes), dtype=np.int64), [0] * folds
    counts, kind = [0] * folds, -1
    for run in np.split(order, runs[1:]):  # of one layer and one size
        counts = [0] * folds if kinds[run[0]] != kind else counts
        kind, size = int(kinds[run[0]]), int(sizes[run[0]])
        added = _filled([count // size for count in counts], totals, len(run))
        fold_of[run] = np.repeat(np.arange(folds), added)
        counts = [count + size * more for count, more in zip(counts, added, strict=True)]
        totals = [total + size * more for total, more in zip(totals, added, strict=True)]
    return np.asarray(fold_of[of_row])


def choose(layers: IntArray, units: IntArray, count: int, seed: int) -> IntArray:
    """Sorted rows of whole units, random ones, near `count` in all, each layer in proportion; never
    all rows.
    """
    _, of_row, sizes = np.unique(units, return_inverse=True, return_counts=True)
    kinds = _layer_of_units(layers, of_row)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    taken: list[IntArray] = []
    goal = total = 0.0
    for own in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
        goal += count * float(sizes[own].sum()) / len(of_row)
        near = own[sizes[own] < 2 * (goal - total)]  # a larger one would only lead away
        sums = np.cumsum(sizes[near])
        most = int(np.searchsorted(sums, len(of_row) - total))  # before all rows are taken
        if most:
            at = int(np.abs(sums[:most] - (goal - total)).argmin()) + 1
            taken.append(near[:at])
            total += float(sums[at - 1])
    inside = np.zeros(len(sizes), dtype=np.bool_)
    inside[np.concatenate([*taken, order[:0]])] = True
    return np.flatnonzero(inside[of_row])


def cut_off(layers: IntArray, units: IntArray, count: int, seed: int) -> IntArray:
    """Sorted rows to be watched while the others train: as `choose`; where no unit is near `count`,
    the smallest one, if it has no more than a share MOST_CUT_OFF of the rows; else none.
    """
    rows = choose(layers, units, count, seed)
    if len(rows):
        return rows
    names, sizes = np.unique(units, return_counts=True)
    if sizes.min() > MOST_CUT_OFF * len(units):
        return rows
    return np.flatnonzero(units == names[int(sizes.argmin())])


def with_every_class(classes: IntArray, inside: BoolArray, units: IntArray | None) -> BoolArray:
    """`inside`, rows that are taken away, without the units that the other rows need to hold a row
    of every class.

    Of a class that only rows inside have, the unit of its first row goes back: a class with a
    single row is trained on.
    """
    lost = np.setdiff1d(classes[inside], classes[~inside])
    if not len(lost):
        return inside
    inside = inside.copy()
    for label in lost:
        own = classes == label
        if inside[own].all():
            first = int(np.argmax(own))
            inside[units == units[first] if units is not None else first] = False
    return inside


def _layer_of_units(layers: IntArray, of_row: IntArray) -> IntArray:
    """[units] of the layers that a unit has rows of, the one that the fewest units have: rare ones
    are spread first.
    """
    count = int(of_row.max()) + 1
    layer, unit = np.divmod(np.unique(layers * count + of_row), count)
    order = np.lexsort((layer, np.bincount(layer)[layer]))[::-1]  # the rarest is written last
    kinds = np.zeros(count, dtype=np.int64)
    kinds[unit[order]] = layer[order]
    return kinds


def _filled(counts: list[int], totals: list[int], more: int) -> list[int]:
    """How many of `more` units each fold gets, so that those with the fewest (`counts`) are filled
    to one level.
    """
    order = sorted(range(len(counts)), key=lambda at: (counts[at], totals[at]))
    filled = len(order)
    while filled > 1 and counts[order[filled - 1]] * filled > more + sum(
        counts[at] for at in order[:filled]
    ):
        filled -= 1
    chosen = order[:filled]
    level, rest = divmod(more + sum(counts[at] for at in chosen), filled)
    first = sorted(chosen, key=lambda at: totals[at] - counts[at])[:rest]
    added = [0] * len(counts)
    for at in chosen:
        added[at] = level - counts[at] + (at in first)
    return added
