"""What a person is shown to begin with is read back by the same column, whatever its marks are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.bundle.cells import reader
from sixfold.recipe.reading import Marks
from sixfold.recipe.signature import Input
from sixfold.serve import pages

MARKS = [
    None,
    Marks(decimal=","),
    Marks(decimal=",", thousands="."),
    Marks(thousands=","),
    Marks(strip=("$", "kg")),
]


@given(st.sampled_from(MARKS), st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_shown(marks: Marks | None, value: float) -> None:
    column = Input(name="x", type="number", read=marks, median=value)
    read = reader(column, frozenset({""}))
    assert (
        math.isclose(read(column.text_of(value)), value, rel_tol=1e-5, abs_tol=1e-320)
        or abs(value) > 1.79e308
    )


@pytest.mark.parametrize("marks", MARKS, ids=str)
def test_the_page_is_filled_with_what_its_columns_read(marks: Marks | None) -> None:
    column = Input(name="x", type="number", read=marks, minimum=0.0, median=1234.5, maximum=1e7)
    assert reader(column, frozenset({""}))(pages._field(column)["value"]) == 1234.5
