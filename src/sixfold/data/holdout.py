"""Which rows nothing may see before the very end."""

from __future__ import annotations

import numpy as np

from sixfold.core.errors import RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.table import Dataset, IntArray
from sixfold.parts.units import cut_off, with_every_class
from sixfold.recipe.schema import Data


def split(dataset: Dataset, data: Data) -> tuple[IntArray, IntArray]:
    """Training rows and held-out rows, both sorted, for `data.holdout` (a share, or a count of 1 or
    more).

    The last rows where there is a time, whole groups where there are groups, else at random from
    `data.seed`: by class in proportion (largest remainders), or evenly. Rows that are equal stay
    together; every class keeps a training row, except where the last rows are the only ones that
    have it. Raises RecipeError.
    """
    rows = dataset.table.rows
    count = _count(data.holdout, rows)
    if count == 0:
        return np.arange(rows, dtype=np.int64), np.empty(0, dtype=np.int64)
    rng = np.random.default_rng(derive(data.seed, "holdout"))
    if dataset.units is not None:
        held = _whole_units(dataset, count, rng)
    elif dataset.times is not None:
        held = np.argsort(dataset.times, kind="stable")[-count:]
    elif dataset.target.task == "classification":
        held = _stratified(dataset.target.values.astype(np.int64), count, rng)
    else:
        held = rng.permutation(rows)[:count]
    held = np.sort(held).astype(np.int64)
    return np.setdiff1d(np.arange(rows, dtype=np.int64), held, assume_unique=True), held


def _whole_units(dataset: Dataset, count: int, rng: np.random.Generator) -> IntArray:
    """Of groups, and of equal rows. Raises RecipeError where none can be spared."""
    units, task, inside = (
        dataset.units,
        dataset.target.task,
        np.zeros(dataset.table.rows, dtype=np.bool_),
    )
    classes = (
        dataset.target.values.astype(np.int64)
        if task == "classification"
        else np.zeros(len(inside), np.int64)
    )
    if units is None:
        return np.empty(0, dtype=np.int64)
    if dataset.groups is not None or dataset.times is not None:
        inside[_whole_groups(units, dataset.times, count, rng)] = True
    else:
        inside[cut_off(classes, units, count, int(rng.integers(1 << 62)))] = True
    inside = with_every_class(classes, inside, units)
    if not inside.any():
        what = "groups" if dataset.groups is not None else "different rows"
        raise RecipeError(
            "data.holdout",
            f"{what} that can be held out, each class in others",
            "none",
            "Set data.holdout: 0.",
        )
    return np.flatnonzero(inside)


def _count(holdout: float, rows: int) -> int:
    """Held-out rows; a share of more than 0 is at least one row, and at least one row is left to
    train on.
    """
    if holdout >= 1 and holdout != int(holdout):
        raise RecipeError(
            "data.holdout",
            "a share below 1, or a whole number of rows",
            f"{holdout:g}",
            "Change it.",
        )
    count = int(holdout) if holdout >= 1 else round(holdout * rows)
    count = max(count, 1) if holdout > 0 else 0
    if count >= rows:
        raise RecipeError(
            "data.holdout",
            f"fewer than the {rows:,} rows there are",
            f"{count:,} rows",
            "Hold out fewer, or 0.",
        )
    return count


def _stratified(codes: IntArray, count: int, rng: np.random.Generator) -> IntArray:
    """`count` rows, each class in proportion: whole parts first, then the largest remainders."""
    sizes = np.bincount(codes)
    shares = count * sizes / len(codes)
    limits = np.maximum(sizes - 1, 0)
    taken = np.minimum(np.floor(shares).astype(np.int64), limits)
    order = np.argsort(taken - shares, kind="stable")  # the largest remainder first
    while taken.sum() < count and (taken < limits).any():
        for number in order:
            if taken.sum() < count and taken[number] < limits[number]:
                taken[number] += 1
    parts = [
        rng.permutation(np.flatnonzero(codes == number))[: taken[number]]
        for number in range(len(sizes))
    ]
    return np.concatenate(parts)


def _whole_groups(
    groups: IntArray,
    times: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None,
    count: int,
    rng: np.random.Generator,
) -> IntArray:
    """Groups in random order (or the latest first) until `count` rows are reached as nearly as
    whole groups allow.
    """
    names, position, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise RecipeError(
            "data.group", "at least two groups, to hold one out", "one", "Set data.holdout: 0."
        )
    if times is None:
        order = rng.permutation(len(names))
    else:
        latest = np.full(len(names), -np.inf)
        np.maximum.at(latest, position, times)
        order = np.argsort(-latest, kind="stable")
    chosen = [int(order[0])]
    total = int(sizes[order[0]])
    for number in order[1:-1]:
        if abs(total + sizes[number] - count) < abs(total - count):
            chosen.append(int(number))
            total += int(sizes[number])
        elif times is not None:
            break
    return np.flatnonzero(np.isin(position, chosen))
