"""Folds, whatever the rows: exact partitions, whole groups, past before future, classes in
proportion; and scikit-learn's.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import model_selection as reference

from sixfold.core.errors import DataError, RecipeError
from sixfold.evaluate.fold import Fold
from sixfold.evaluate.folds import make
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Evaluate

QUICK = settings(max_examples=60, deadline=None)
Array = np.ndarray[Any, Any]


def dataset(
    codes: Array, groups: Array | None = None, times: Array | None = None, seed: int = 0
) -> Dataset:
    """`codes`: classes, or values where they are floats."""
    table = Table(
        {"x": Column("number", np.random.default_rng(seed).normal(size=len(codes)))}, len(codes)
    )
    if codes.dtype.kind == "f":
        return Dataset(table, Target("regression", codes, ("y",)), groups, times)
    names = tuple(f"c{i}" for i in range(int(codes.max()) + 1))
    return Dataset(table, Target("classification", codes, ("y",), names), groups, times)


def folds(data: Dataset, scheme: str, seed: int = 0, **options: Any) -> list[Fold]:
    return make(Evaluate(scheme=scheme, seed=seed, **options), data)


def times_validated(found: list[Fold], rows: int) -> Array:
    return np.bincount(np.concatenate([fold.validation for fold in found]), minlength=rows)


def check_partition(found: list[Fold], rows: int, times: int) -> None:
    """Every row validates `times` times, and trains in all other folds."""
    assert (times_validated(found, rows) == times).all()
    for fold in found:
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.train, fold.validation])), np.arange(rows)
        )


@QUICK
@given(rows=st.integers(2, 90), count=st.integers(2, 9), seed=st.integers(0, 99))
def test_kfold_is_a_partition_into_equal_parts(rows: int, count: int, seed: int) -> None:
    count = min(count, rows)
    found = folds(dataset(np.arange(float(rows))), "kfold", seed, folds=count)
    check_partition(found, rows, 1)
    sizes = [len(test) for _, test in reference.KFold(count).split(np.zeros(rows))]
    assert sorted(len(fold.validation) for fold in found) == sorted(sizes)


@QUICK
@given(
    sizes=st.lists(st.integers(2, 30), min_size=2, max_size=4),
    count=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_stratified_is_a_partition_in_proportion(sizes: list[int], count: int, seed: int) -> None:
    totals, count = np.array(sizes), min(count, *sizes)
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    for scheme, repeats in (("stratified", 1), ("repeated", 2)):
        options = {"repeats": repeats} if scheme == "repeated" else {}
        found = folds(dataset(y), scheme, seed, folds=count, **options)
        check_partition(found, len(y), repeats)
        for fold in found:
            counts = np.bincount(y[fold.validation], minlength=len(totals))
            assert (counts >= totals // count).all()
            assert (counts <= -(-totals // count)).all()
            assert len(fold.validation) in (len(y) // count, -(-len(y) // count))
    split = reference.StratifiedKFold(count).split(np.zeros(len(y)), y)
    theirs = sorted(len(test) for _, test in split)
    assert (
        sorted(len(fold.validation) for fold in folds(dataset(y), "stratified", seed, folds=count))
        == theirs
    )


@QUICK
@given(
    groups=st.lists(st.integers(0, 12), min_size=2, max_size=90),
    count=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_groups_stay_whole_in_folds_of_scikit_learns_sizes(
    groups: list[int], count: int, seed: int
) -> None:
    held = np.array(groups, dtype=np.int64)
    assume(len(np.unique(held)) > 1)
    count = min(count, len(np.unique(held)))
    found = folds(dataset(np.arange(float(len(held))), held), "group", seed, folds=count)
    check_partition(found, len(held), 1)
    for fold in found:
        assert not set(held[fold.train]) & set(held[fold.validation])
    split = reference.GroupKFold(count).split(np.zeros(len(held)), groups=held)
    assert sorted(len(fold.validation) for fold in found) == sorted(len(test) for _, test in split)


@QUICK
@given(moments=st.lists(st.integers(0, 30), min_size=3, max_size=90), count=st.integers(2, 6))
def test_the_past_trains_and_no_moment_is_on_both_sides(moments: list[int], count: int) -> None:
    times = np.array(moments, dtype=np.float64)
    assume(len(np.unique(times)) > 2)
    count = min(count, len(np.unique(times)) - 1)
    found = folds(dataset(times, times=times), "time_series", folds=count)
    assert len(found) == count
    assert times_validated(found, len(times)).max() == 1
    for number, fold in enumerate(found):
        assert times[fold.train].max() < times[fold.validation].min()
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.validation) > 0).all()
        if number:
            before = np.union1d(found[number - 1].train, found[number - 1].validation)
            np.testing.assert_array_equal(fold.train, before)
    assert len(found[-1].train) + len(found[-1].validation) == len(times)


@QUICK
@given(rows=st.integers(3, 90), count=st.integers(2, 9), seed=st.integers(0, 9))
def test_time_series_is_scikit_learns_where_no_moment_repeats(
    rows: int, count: int, seed: int
) -> None:
    count = min(count, rows - 1)
    times = np.random.default_rng(seed).permutation(rows).astype(np.float64)
    order = np.argsort(times)
    theirs = list(reference.TimeSeriesSplit(count).split(np.zeros(rows)))
    for fold, (train, test) in zip(
        folds(dataset(times, times=times), "time_series", folds=count), theirs, strict=True
    ):
        np.testing.assert_array_equal(fold.train, np.sort(order[train]))
        np.testing.assert_array_equal(fold.validation, np.sort(order[test]))


@QUICK
@given(
    codes=st.lists(st.integers(0, 2), min_size=2, max_size=90),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_holdout_is_one_split_in_proportion(codes: list[int], share: float, seed: int) -> None:
    y = np.unique(np.array(codes, dtype=np.int64), return_inverse=True)[1]
    assume(np.bincount(y).min() > 1)  # a class with a single row is never validated
    (fold,) = folds(dataset(y), "holdout", seed, share=share)
    check_partition([fold, Fold(fold.validation, fold.train)], len(y), 1)
    count, all_of = min(len(y) - 1, max(1, round(len(y) * share))), len(np.unique(y))
    assert (
        count - all_of < len(fold.validation) <= count
    )  # of a class that would not train, a row goes back
    assert set(y[fold.train]) == set(y)
    if len(fold.validation) < count:
        return
    wanted = np.bincount(y) * len(fold.validation) / len(y)
    assert (np.abs(np.bincount(y[fold.validation], minlength=len(wanted)) - wanted) <= 1).all()


def test_leave_one_out_is_scikit_learns() -> None:
    found = folds(dataset(np.arange(7.0)), "leave_one_out")
    for fold, (train, test) in zip(found, reference.LeaveOneOut().split(np.zeros(7)), strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.validation, test)


def test_values_are_stratified_by_quantiles() -> None:
    y = np.random.default_rng(0).permutation(200).astype(np.float64)
    for fold in folds(dataset(y), "stratified"):
        assert (
            np.abs(np.bincount((y[fold.validation] // 20).astype(int), minlength=10) - 4).max() <= 1
        )


def test_repeats_are_different_and_values_are_repeated_too() -> None:
    y = np.random.default_rng(0).normal(size=40)
    found = folds(dataset(y), "repeated", folds=4, repeats=5)
    check_partition(found, 40, 5)
    firsts = {tuple(found[4 * number].validation) for number in range(5)}
    assert len(firsts) == 5


@pytest.mark.parametrize(
    "scheme", ["kfold", "stratified", "repeated", "group", "time_series", "holdout"]
)
def test_what_the_columns_hold_does_not_move_the_folds(scheme: str) -> None:
    y, groups, times = np.arange(40) % 2, np.arange(40) % 8, np.arange(40.0)
    held = groups if scheme == "group" else None
    first, second = (folds(dataset(y, held, times, seed), scheme) for seed in (0, 1))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.train, other.train)


@pytest.mark.parametrize(
    "scheme", ["kfold", "stratified", "repeated", "leave_one_out", "holdout", "time_series"]
)
def test_a_scheme_that_would_tear_groups_apart_is_refused(scheme: str) -> None:
    data = dataset(np.arange(20) % 2, np.arange(20) // 4, np.arange(20.0))
    with pytest.raises(RecipeError) as caught:
        folds(data, scheme)
    assert str(caught.value) == (
        "evaluate.scheme: expected group, since data.group keeps rows of a group on one side of every split; "
        f"found '{scheme}'. Use group (or auto), or take data.group out."
    )


def test_too_few_groups_and_moments() -> None:
    few = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    with pytest.raises(DataError) as caught:
        folds(dataset(few, times=few), "time_series", folds=3)
    assert str(caught.value) == (
        "data.time: expected at least 4 different moments for 3 folds; found 3. Lower evaluate.folds."
    )
    with pytest.raises(DataError) as caught:
        folds(dataset(few, groups=few.astype(np.int64)), "group", folds=4)
    assert str(caught.value) == (
        "data.group: expected at least 4 groups for 4 folds; found 3. Lower evaluate.folds."
    )


def test_leave_one_out_of_many_rows_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        folds(dataset(np.zeros(5001)), "leave_one_out")
    assert str(caught.value) == (
        "evaluate.scheme: expected at most 5,000 rows for leave_one_out, which fits a model a row; found 5,001. "
        "Use kfold or stratified."
    )


def test_an_option_out_of_range_names_the_splitter() -> None:
    with pytest.raises(RecipeError) as caught:
        folds(dataset(np.arange(9.0)), "stratifed")
    assert "Did you mean 'stratified'? All: group, holdout," in str(caught.value)
