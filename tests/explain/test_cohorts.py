"""Slices whose loss is far above that of all rows: planted ones are found, noise is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.evaluate.shuffling import Effort
from sixfold.explain.cohorts import worst_slices
from sixfold.parts.table import Column, Dataset, Table, Target

ROWS = 2000


def dataset(generator: Any) -> Dataset:
    columns = {
        "age": Column("number", generator.uniform(0, 100, ROWS)),
        "kind": Column(
            "category", generator.integers(0, 3, ROWS).astype(np.int32), ("a", "b", "c")
        ),
        "new": Column("boolean", generator.integers(0, 2, ROWS).astype(np.float64)),
        "rare": Column("category", (np.arange(ROWS) < 5).astype(np.int32), ("no", "yes")),
    }
    columns["age"].values[:200] = np.nan
    target = Target("regression", np.zeros(ROWS), ("y",))
    return Dataset(Table(columns, ROWS), target)


def losses(data: Dataset, generator: Any) -> Any:
    return np.abs(generator.normal(size=ROWS))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("kind = b", lambda columns: columns["kind"].values == 1),
        ("new = 1", lambda columns: columns["new"].values == 1),
        ("age is missing", lambda columns: np.isnan(columns["age"].values)),
    ],
)
def test_a_planted_slice_is_the_worst(text: str, rows: Any) -> None:
    generator = np.random.default_rng(0)
    data = dataset(generator)
    planted, loss = rows(data.table.columns), losses(data, generator)
    found = worst_slices(data, np.where(planted, loss + 2, loss))
    assert found.slices[0].text == text
    assert found.slices[0].loss > found.overall
    assert int(found.slices[0].rows.sum()) == int(planted.sum())


def test_two_columns_together_are_found() -> None:
    generator = np.random.default_rng(1)
    data = dataset(generator)
    columns = data.table.columns
    planted = (columns["kind"].values == 2) & (columns["new"].values == 0)
    found = worst_slices(data, losses(data, generator) + 3 * planted)
    assert set(found.slices[0].columns) == {"kind", "new"}
    np.testing.assert_array_equal(found.slices[0].rows, planted)


def test_equal_losses_and_no_time_tell_nothing() -> None:
    generator = np.random.default_rng(2)
    data = dataset(generator)
    assert worst_slices(data, np.ones(ROWS)).slices == ()
    assert worst_slices(data, np.full(ROWS, np.nan)).slices == ()
    assert worst_slices(data, losses(data, generator), Effort(deadline=0.0)).tried == 0


def test_few_rows_and_rows_of_no_fold_do_not_count() -> None:
    generator = np.random.default_rng(3)
    data = dataset(generator)
    loss = losses(data, generator)
    loss[:5] += 50  # all rows of `rare = yes`: fewer than count
    loss[1000:] = np.nan
    found = worst_slices(data, loss)
    assert all("rare = yes" not in each.text for each in found.slices)
    assert all(len(each.rows) == 1000 for each in found.slices)
    assert found.overall == pytest.approx(np.nanmean(loss))
