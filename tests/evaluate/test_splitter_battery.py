"""Every splitter: what any division into folds must hold."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from sixfold.evaluate.fold import Fold
from sixfold.parts.table import RANKING, Column, Dataset, Table, Target
from sixfold.recipe.kinds import SPLITTER

NAMES = sorted(SPLITTER.names())
ONCE = {"kfold", "stratified", "leave_one_out", "group"}
SIZES = (12, 37, 60)


def dataset(rows: int, task: str = "classification") -> Dataset:
    rng = np.random.default_rng(rows)
    table = Table({"x": Column("number", rng.normal(size=rows))}, rows)
    if task == "classification":
        target = Target("classification", rng.permutation(np.arange(rows) % 2), ("y",), ("a", "b"))
    else:
        target = Target("regression", rng.normal(size=rows), ("y",))
    return Dataset(
        table,
        target,
        rng.permutation(np.arange(rows) % 7),
        rng.permutation(rows).astype(np.float64),
    )


def interactions(rows: int) -> Dataset:
    """Of users that have three each, in the order of time."""
    users = np.arange(rows) % (rows // 3)
    columns = {
        "user": Column("category", users.astype(np.int32), tuple(map(str, range(rows)))),
        "item": Column("category", np.arange(rows, dtype=np.int32), tuple(map(str, range(rows)))),
    }
    target = Target("recommendation", np.zeros((rows, 4)), RANKING)
    return Dataset(Table(columns, rows), target, times=np.arange(rows, dtype=np.float64))


def split(name: str, data: Dataset, seed: int = 0) -> list[Fold]:
    settings: Any = SPLITTER.load(name)()
    return list(settings.split(data, seed))


def check_sorted_and_apart(name: str, data: Dataset) -> None:
    for fold in split(name, data):
        assert len(fold.train) and len(fold.validation)
        assert not np.intersect1d(fold.train, fold.validation).size
        for rows in (fold.train, fold.validation):
            assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < data.table.rows


def check_times_validated(name: str, data: Dataset) -> None:
    folds = split(name, data)
    seen = np.bincount(
        np.concatenate([fold.validation for fold in folds]), minlength=data.table.rows
    )
    if name in ONCE:
        assert (seen == 1).all()
    elif name == "repeated":
        assert (seen == 3).all()
    else:
        assert (seen <= 1).all()
    if name not in ("time_series", "leave_last"):
        assert all(len(fold.train) + len(fold.validation) == data.table.rows for fold in folds)


def check_reproducible(name: str, data: Dataset) -> None:
    for first, second in zip(split(name, data, 5), split(name, data, 5), strict=True):
        np.testing.assert_array_equal(first.train, second.train)
        np.testing.assert_array_equal(first.validation, second.validation)


def check_seeded(name: str, data: Dataset) -> None:
    """Of at least 37 rows: of few, each may be the only one of its stratum."""
    data = dataset(max(37, data.table.rows), data.target.task)
    first, other = split(name, data, 5)[0], split(name, data, 6)[0]
    assert not np.array_equal(first.validation, other.validation)


SEEDED = ("holdout", "kfold", "repeated", "stratified")
CHECKS = (check_sorted_and_apart, check_times_validated, check_reproducible)


PAIRS = [
    (name, check)
    for name in NAMES
    for check in (*CHECKS, *((check_seeded,) if name in SEEDED else ()))
]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize(
    ("name", "check"), [pytest.param(n, c, id=f"{n}-{c.__name__}") for n, c in PAIRS]
)
def test_splitter(name: str, check: Any, rows: int, task: str) -> None:
    check(name, interactions(rows) if name == "leave_last" else dataset(rows, task))


def test_every_splitter_gets_its_checks() -> None:
    assert NAMES == [
        "group",
        "holdout",
        "kfold",
        "leave_last",
        "leave_one_out",
        "repeated",
        "stratified",
        "time_series",
    ]
    assert Counter(name for name, _ in PAIRS) == {
        **dict.fromkeys(NAMES, 3),
        **dict.fromkeys(SEEDED, 4),
    }
    written = {name for name in globals() if name.startswith("check_")}
    assert written == {check.__name__ for check in (*CHECKS, check_seeded)}


@pytest.mark.parametrize("rows", SIZES)
def test_groups_stay_whole(rows: int) -> None:
    data = dataset(rows)
    assert data.groups is not None
    for fold in split("group", data):
        assert not np.intersect1d(data.groups[fold.train], data.groups[fold.validation]).size


@pytest.mark.parametrize("rows", SIZES)
def test_the_past_trains(rows: int) -> None:
    data = dataset(rows)
    assert data.times is not None
    for fold in split("time_series", data):
        assert data.times[fold.train].max() < data.times[fold.validation].min()


@pytest.mark.parametrize("name", ["stratified", "repeated", "holdout"])
@pytest.mark.parametrize("rows", SIZES)
def test_class_shares_within_one_row(name: str, rows: int) -> None:
    data = dataset(rows)
    for fold in split(name, data):
        for label in (0, 1):
            share = np.mean(data.target.values == label)
            found = np.sum(data.target.values[fold.validation] == label)
            assert abs(found - share * len(fold.validation)) <= 1
