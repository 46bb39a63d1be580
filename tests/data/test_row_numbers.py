"""Row numbers are found by their values, whatever they are called and however they are written, and
left out, with a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold import pipeline
from sixfold.bundle.load import load as load_bundle
from sixfold.data.load import from_frame, load
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Data


def frame(rows: int = 60, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    made = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), **columns})
    made["y"] = np.where(np.arange(rows) < rows // 2, "p", "q")
    return made


def read(table: pd.DataFrame, **data: Any) -> Dataset:
    return from_frame(table, Data(source="frame", target="y", **data), None)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(20, 60),
    first=st.sampled_from([0, 1, -3, 1000, 10**9]),
    seed=st.none() | st.integers(0, 99),
    form=st.sampled_from(
        ["int64", "int32", "float64", "float32", "str", "Int64", "text of floats"]
    ),
    name=st.sampled_from(["nr", "Unnamed: 0", "x", "lfd", "__index_level_0__", "y2"]),
)
def test_any_form_order_offset_and_name(
    rows: int, first: int, seed: int | None, form: str, name: str
) -> None:
    first = 1000 if form == "float32" and first > 10**6 else first
    numbers = np.arange(first, first + rows)
    if seed is not None:
        numbers = np.random.default_rng(seed).permutation(numbers)
    values = (
        pd.Series(numbers.astype(np.float64)).astype(str)
        if form == "text of floats"
        else pd.Series(numbers).astype(form)
    )
    found = read(frame(rows, **{name: values}))
    assert name not in found.table.columns
    assert any(name in text and "data.types" in text for text in found.notes)
    kept = read(frame(rows, **{name: values}), types={name: "number"})
    np.testing.assert_array_equal(kept.table.columns[name].values, numbers)


KEPT: dict[str, Any] = {
    "few rows": (frame(19, n=np.arange(19)), {}),
    "twice": (frame(n=[0, *range(59)]), {}),
    "a missing one": (frame(n=[None, *range(1, 60)]), {}),
    "a fraction": (frame(n=np.arange(60) + 0.5), {}),
    "steps of two": (frame(n=2 * np.arange(60)), {}),
    "asked for": (frame(n=np.arange(60)), {"types": {"n": "number"}}),
}


@pytest.mark.parametrize("why", KEPT)
def test_what_is_no_row_number(why: str) -> None:
    table, data = KEPT[why]
    found = read(table, **data)
    assert "n" in found.table.columns
    assert not any("row number:" in text for text in found.notes)


def test_years_are_a_measure_of_time() -> None:
    found = read(frame(year=np.arange(1960, 2020)))
    assert "year" in found.table.columns
    assert (
        "year: numbers in a row, kept as a measure of time (data.drop leaves it out)."
        in found.notes
    )
    assert "year" not in read(frame(year=np.arange(60))).table.columns


def test_time_orders_the_rows_all_the_same() -> None:
    numbers = np.random.default_rng(0).permutation(60)
    found = read(frame(n=numbers), time="n")
    assert "n" not in found.table.columns
    np.testing.assert_array_equal(found.times, numbers)
    assert any("orders the rows" in text for text in found.notes)


def test_the_only_column_is_kept() -> None:
    found = read(frame(n=np.arange(60))[["n", "y"]])
    assert list(found.table.columns) == ["n"]
    assert "no other column" in found.warnings[0]


def test_rows_without_a_target_do_not_hide_it() -> None:
    table = frame(n=np.arange(60))
    table.loc[5:9, "y"] = None
    assert "n" not in read(table).table.columns


def test_numbers_some_of_which_are_gone() -> None:
    """A nameless index is one in any case; of other columns it is said that they may be."""
    numbers = np.sort(np.random.default_rng(0).permutation(90)[:60])
    assert "perhaps numbers of rows" in read(frame(n=numbers)).warnings[0]
    assert "Unnamed: 0" not in read(frame(**{"Unnamed: 0": numbers})).table.columns


@pytest.mark.parametrize("text", ["plain", "quoted", "gaps"])
def test_a_column_without_a_name(tmp_path: Path, text: str) -> None:
    """As pandas (`to_csv`) and R (`write.csv`) write an index."""
    table = frame().sample(frac=0.5, random_state=0) if text == "gaps" else frame()
    table.to_csv(tmp_path / "t.csv", quoting=2 if text == "quoted" else 0)
    found = load(Data(source="t.csv", target="y"), None, tmp_path)
    assert list(found.table.columns) == ["a", "b"]
    assert any("unnamed_1 (a column without a name)" in line for line in found.notes)


def test_a_model_answers_with_and_without_the_column(tmp_path: Path) -> None:
    table = frame(**{"Unnamed: 0": np.arange(60)})
    recipe = from_object(
        {
            "version": 1,
            "data": {"source": "frame", "target": "y"},
            "build": {"family": "tree"},
            "evaluate": {"folds": 2},
        }
    )
    found = pipeline.run(recipe, tmp_path / "run", dataset=read(table))
    model = load_bundle(found.bundle)
    rows = table.head(5).drop(columns="y")
    with_it, without = (
        model.predict(each.to_dict("records")) for each in (rows, rows.drop(columns="Unnamed: 0"))
    )
    assert str(with_it) == str(without)
