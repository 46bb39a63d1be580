"""`take` is a view: it shares its parent's values, gathers what is asked for, and is the copy that
it stands for.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sixfold.parts import state
from sixfold.parts.table import Column, Dataset, Table, Target

LEVELS = ("x", "y", "")


def table(rows: int) -> Table:
    draw = np.random.default_rng(rows)
    numbers = np.where(draw.random(rows) < 0.2, np.nan, draw.normal(size=rows))
    codes = draw.integers(-1, 3, rows).astype(np.int32)
    return Table({"n": Column("number", numbers), "c": Column("category", codes, LEVELS)}, rows)


@given(st.lists(st.integers(0, 29), max_size=40), st.data())
def test_a_view_of_a_view_is_the_copy_of_a_copy(first: list[int], data: st.DataObject) -> None:
    whole, rows = table(30), np.array(first, dtype=np.int64)
    second = data.draw(
        st.lists(st.integers(0, len(first) - 1), max_size=10) if first else st.just([])
    )
    again = np.array(second, dtype=np.int64)
    view = whole.take(rows).take(again)
    assert view.rows == len(second)
    for name, column in whole.columns.items():
        copy = replace(column, values=column.values[rows][again])
        found = view.columns[name]
        np.testing.assert_array_equal(found.values, copy.values)
        assert found.values.dtype == copy.values.dtype
        np.testing.assert_array_equal(found.missing(), copy.missing())
        np.testing.assert_array_equal(found.at(slice(1, 3)), copy.values[1:3])
        np.testing.assert_array_equal(column.take(rows).take(again).values, copy.values)
        assert (found.kind, found.levels, found.is_float) == (copy.kind, copy.levels, copy.is_float)
    assert view.columns["c"].strings() == [whole.columns["c"].strings()[row] for row in rows[again]]


def test_changing_a_field_of_a_view_changes_nothing_else() -> None:
    view = table(10).take(np.array([3, 1]))
    np.testing.assert_array_equal(
        replace(view.columns["n"], kind="date").values, view.columns["n"].values
    )
    np.testing.assert_array_equal(replace(view.columns["n"], values=np.ones(2)).values, np.ones(2))


def test_what_is_gathered_is_the_readers_own() -> None:
    whole = table(10)
    kept = whole.columns["n"].values.copy()
    whole.take(np.arange(5)).columns["n"].values[:] = 7.0
    np.testing.assert_array_equal(whole.columns["n"].values, kept)


def test_a_view_is_written_as_its_own_rows(tmp_path: Path) -> None:
    whole, rows = table(1000), np.array([4, 2])
    data = Dataset(whole.take(rows), Target("regression", np.ones(2), ("y",)))
    state.save(data, tmp_path)
    assert (tmp_path / "state.safetensors").stat().st_size < 2000
    back = state.load(tmp_path, Dataset)
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(back.table.columns[name].values, column.values[rows])


def test_taking_rows_copies_no_column() -> None:
    """Of 50 columns a fold's share takes the memory of one column of indices at most."""
    rows = 20_000
    wide = Table({f"n{i}": Column("number", np.zeros(rows)) for i in range(50)}, rows)
    some = np.arange(rows - 1, dtype=np.int64)
    tracemalloc.start()
    try:
        view = wide.take(some).take(some[:-1])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert view.rows == rows - 2
    assert held < 3 * 8 * rows
