"""Duplicates, contradictions, columns that say nothing: what of the training rows is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparing import NAN, category, number

from sixfold.core.errors import DataError
from sixfold.parts import equal_rows as rows
from sixfold.parts.fit import Needs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare.preparer import Preparer, fit
from sixfold.recipe.schema import Prepare


def prepared(
    columns: dict[str, Column], y: list[Any], **denoise: Any
) -> tuple[Preparer, list[int]]:
    values = np.array(y, dtype=np.int64)
    target = Target(
        "classification", values, ("y",), tuple(f"class {i}" for i in range(int(values.max()) + 1))
    )
    prepare = Prepare.model_validate({"denoise": denoise})
    preparer, _, kept = fit(Table(columns, len(y)), target, prepare, Needs(), 0)
    return preparer, kept.tolist()


COLUMNS = {
    "x": number([1.0, 1.0, NAN, NAN, 0.0, -0.0, 1.0, 7.0]),
    "c": category(["a", "a", "", "", "b", "b", "a", "a"]),
}
Y = [
    0,
    0,
    1,
    1,
    0,
    1,
    1,
    0,
]  # rows 0 and 1 are equal; 2 and 3 too; 4 and 5 contradict each other; 6 contradicts 0 and 1


def test_duplicates_are_dropped_but_their_first() -> None:
    preparer, kept = prepared(COLUMNS, Y, duplicates="drop", contradictions="keep")
    assert kept == [0, 2, 4, 5, 6, 7]
    assert preparer.notes == ("2 exact duplicates left out of training.",)


def test_contradictions_are_reported() -> None:
    preparer, kept = prepared(COLUMNS, Y)
    assert kept == list(range(8))
    assert preparer.notes == ("5 training rows with equal columns and different targets.",)


def test_contradictions_are_dropped() -> None:
    preparer, kept = prepared(COLUMNS, Y, contradictions="drop")
    assert kept == [2, 3, 7]
    assert preparer.notes == (
        "5 training rows with equal columns and different targets; they are left out of training.",
    )


def test_contradictions_of_values_too() -> None:
    target = Target("regression", np.array([1.0, 2.0, 3.0, 3.0]), ("y",))
    table = Table({"x": number([1, 1, 2, 3])}, 4)
    _, _, kept = fit(
        table, target, Prepare.model_validate({"denoise": {"contradictions": "drop"}}), Needs(), 0
    )
    assert kept.tolist() == [2, 3]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        prepared({"x": number([1, 1])}, [0, 1], contradictions="drop", constants="keep")
    assert str(caught.value) == (
        "prepare.denoise: expected training rows that stay; found none of 2. "
        "Use contradictions: report, or another way to find outliers."
    )


def test_a_class_without_rows_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        prepared({"x": number([1, 1, 2, 3])}, [0, 1, 1, 1], contradictions="drop")
    assert str(caught.value) == (
        "prepare.denoise: expected training rows of every class that stay; found none of class 'class 0'. "
        "Use action: clip for outliers, or contradictions: report."
    )


def test_no_rows_is_an_error() -> None:
    target = Target("regression", np.array([]), ("y",))
    with pytest.raises(DataError) as caught:
        fit(Table({"x": number([])}, 0), target, Prepare(), Needs(), 0)
    assert (
        str(caught.value)
        == "prepare: expected training rows; found none. Use more rows, or fewer folds."
    )


def test_columns_without_values_and_constant_ones_are_left_out() -> None:
    columns = {
        "empty": number([NAN] * 4),
        "void": Column("category", np.array([-1, -1, 0, 0], dtype=np.int32), ("",)),
        "same": number([3.0] * 4),
        "word": category(["a"] * 4),
        "gaps": number([3.0, NAN, 3.0, 3.0]),
        "x": number([1, 2, 3, 4]),
    }
    preparer, _ = prepared(columns, [0, 1, 0, 1])
    assert preparer.inputs == ("gaps", "x")
    assert preparer.notes == (
        "Left out, with no value in the training rows: empty, void.",
        "Left out, with one value in the training rows: same, word.",
    )
    kept, _ = prepared(columns, [0, 1, 0, 1], constants="keep")
    assert kept.inputs == ("same", "word", "gaps", "x")
    assert kept.notes == ("Left out, with no value in the training rows: empty, void.",)


def test_no_column_left_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        prepared({"same": number([3.0, 3.0])}, [0, 1])
    assert str(caught.value) == (
        "prepare: expected at least one column with two different values; found none among the training rows. "
        "Add columns, or look at data.types and data.drop."
    )


cells = st.lists(
    st.tuples(
        st.sampled_from([NAN, 0.0, -0.0, 1.5]), st.sampled_from(["", "a", "b"]), st.integers(0, 1)
    )
)


@settings(max_examples=60, deadline=None, database=None)
@given(cells.filter(len))
def test_rows_equal_a_plain_search(found: list[tuple[float, str, int]]) -> None:
    """Against the definition, row by row in Python."""
    plain = [(None if x != x else x + 0.0, c, y) for x, c, y in found]
    table = Table(
        {"x": number([f[0] for f in found]), "c": category([f[1] for f in found])}, len(found)
    )
    target = Target("classification", np.array([f[2] for f in found]), ("y",), ("n", "p"))
    groups = rows.groups(table)
    assert rows.duplicates(groups, target).tolist() == [
        row in plain[:i] for i, row in enumerate(plain)
    ]
    answers = [{y for *x, y in plain if x == list(row[:2])} for row in plain]
    assert rows.contradictions(groups, target).tolist() == [len(answer) > 1 for answer in answers]
