"""The rows that nothing sees before the end: how many, which, and always the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError
from sixfold.data.holdout import split
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.schema import Data


def dataset(codes: list[int] | None = None, rows: int = 50, **parts: Any) -> Dataset:
    rows = len(codes) if codes else rows
    table = Table({"a": Column("number", np.arange(rows, dtype=np.float64))}, rows)
    if codes:
        classes = tuple(str(i) for i in range(max(codes) + 1))
        return Dataset(
            table,
            Target("classification", np.array(codes, dtype=np.int64), ("y",), classes),
            **parts,
        )
    return Dataset(table, Target("regression", np.linspace(0, 1, rows), ("y",)), **parts)


def data(holdout: float, seed: int = 0) -> Data:
    return Data(source="t.csv", target="y", holdout=holdout, seed=seed)


def sizes(holdout: float, rows: int) -> tuple[int, int]:
    training, held = split(dataset(rows=rows), data(holdout))
    np.testing.assert_array_equal(np.sort(np.concatenate([training, held])), np.arange(rows))
    assert (np.diff(training) > 0).all()
    assert (np.diff(held) > 0).all()
    assert training.dtype == held.dtype == np.int64
    return len(training), len(held)


@pytest.mark.parametrize(
    ("holdout", "rows", "expected"),
    [
        (0.2, 50, (40, 10)),
        (0, 50, (50, 0)),
        (0.0, 50, (50, 0)),
        (100, 1100, (1000, 100)),
        (1, 2, (1, 1)),
        (0.001, 50, (49, 1)),
        (0.9, 10, (1, 9)),
        (5.0, 50, (45, 5)),
    ],
)
def test_a_share_or_a_count(holdout: float, rows: int, expected: tuple[int, int]) -> None:
    assert sizes(holdout, rows) == expected


@pytest.mark.parametrize(
    ("holdout", "text"),
    [
        (
            50,
            "data.holdout: expected fewer than the 50 rows there are; found 50 rows. Hold out fewer, or 0.",
        ),
        (
            0.999,
            "data.holdout: expected fewer than the 50 rows there are; found 50 rows. Hold out fewer, or 0.",
        ),
        (
            1.5,
            "data.holdout: expected a share below 1, or a whole number of rows; found 1.5. Change it.",
        ),
    ],
)
def test_too_many(holdout: float, text: str) -> None:
    with pytest.raises(RecipeError) as error:
        split(dataset(), data(holdout))
    assert str(error.value) == text


def test_the_seed_decides() -> None:
    first, again, other = (split(dataset(), data(0.2, seed))[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(1, 50), st.integers(0, 3))
def test_classes_in_proportion(codes: list[int], percent: int, seed: int) -> None:
    share = percent / 100
    counts = np.bincount(codes)
    count = max(1, round(share * len(codes)))
    training, held = split(dataset(codes), data(share, seed))
    taken = np.bincount(np.array(codes)[held], minlength=len(counts))
    spare = int(np.maximum(counts - 1, 0).sum())
    assert len(held) == min(count, spare)
    assert len(training) + len(held) == len(codes)
    assert ((counts == 0) | (taken < counts)).all()  # every class keeps a row to learn from
    if (np.ceil(count * counts / len(codes)) < counts).all():
        assert (abs(taken - count * counts / len(codes)) < 1).all()


def test_whole_groups() -> None:
    groups = np.repeat(np.arange(10), 5)
    training, held = split(dataset(groups=groups), data(0.2))
    assert len(held) == 10
    assert not set(groups[training]) & set(groups[held])
    uneven = np.array([0] * 45 + [1] * 5)
    assert len(split(dataset(groups=uneven), data(0.1))[0]) > 0
    with pytest.raises(RecipeError) as error:
        split(dataset(groups=np.zeros(50, dtype=np.int64)), data(0.2))
    assert str(error.value) == (
        "data.group: expected at least two groups, to hold one out; found one. Set data.holdout: 0."
    )


def test_the_last_rows() -> None:
    times = np.random.default_rng(0).permutation(50).astype(np.float64)
    training, held = split(dataset(times=times), data(0.2))
    assert len(held) == 10
    assert times[training].max() < times[held].min()
    by_class = split(dataset([0, 1] * 25, times=times), data(0.2))
    np.testing.assert_array_equal(by_class[1], held)


def test_the_last_groups() -> None:
    groups = np.repeat(np.arange(10), 5)
    times = np.repeat(np.arange(10)[::-1], 5).astype(np.float64)
    training, held = split(dataset(groups=groups, times=times), data(0.2))
    assert set(groups[held]) == {0, 1}
    assert set(groups[training]) == set(range(2, 10))
