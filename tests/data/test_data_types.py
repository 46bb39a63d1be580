"""Which kind each column is: detected on all rows, said, overridable; and the vectorized way equals
the rules.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core import values
from sixfold.core.errors import DataError
from sixfold.data.columns import Read, Reading, read
from sixfold.data.load import from_frame, load
from sixfold.parts.table import ColumnKind, Dataset
from sixfold.recipe.schema import Data

READING = Reading(frozenset({"", "NA", "?"}), "t.csv", lambda row: f"line {row + 2}")
FILL = tuple(f"{i}" for i in range(40))


def of(cells: Sequence[str], asked: ColumnKind | None = None, name: str = "c") -> Read:
    return read(name, pa.chunked_array([pa.array(cells, pa.string())]), asked, READING)


def frame(**columns: Any) -> Dataset:
    rows = max(len(cells) for cells in columns.values())
    return from_frame(
        pd.DataFrame({**columns, "y": ["p", "q"] * (rows // 2)}),
        Data(source="frame", target="y"),
        None,
    )


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e4", "", "NA"], "number"),
        (["0", "1", "1", "0"], "number"),  # a 0/1 number column stays a number
        ([" 1 ", "2", "\u00a03"], "number"),
        (["nan", "1"], "number"),
        (["true", "false", ""], "boolean"),
        (["Yes", "no", "NO"], "boolean"),
        (["y", "N", ""], "boolean"),
        (["f", "n", "y", "t"], "category"),  # codes: no pair
        (["yes", "n"], "category"),
        (["true", "no"], "category"),
        (["yes", "yes"], "category"),
        (["t", "f", "?"], "boolean"),
        (["true", "0"], "category"),
        (["2026-11-23", "2026-11-24T10:00:00Z", ""], "date"),
        (["23.11.2026", "1.2.2026"], "date"),
        (["red", "green", "red"], "category"),
        (["1", "red"], "category"),
        (["2026-11-23", "red"], "category"),
        (["11/23/2026", "01/02/2026"], "category"),
        ([f"k{i}" for i in range(19)], "category"),  # too few to say
        ([f"k{i}" for i in range(20)], "identifier"),
        ([f"k{i}" for i in range(99)] + ["k0"], "identifier"),
        ([f"k{i % 30}" for i in range(60)], "category"),
        ([f"it is prose of number {i}" for i in range(20)], "text"),
        ([f"Miller, Mr. No {i}" for i in range(20)], "identifier"),
    ],
)
def test_detection(cells: list[str], kind: str) -> None:
    assert of(cells).column.kind == kind


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("id", True),
        ("ID", True),
        ("customer_id", True),
        ("customerId", True),
        ("PassengerId", True),
        ("row number", False),
        ("row_number", True),
        ("index", True),
        ("uuid", True),
        ("key", True),
        ("paid", False),
        ("valid", False),
        ("humid", False),
        ("monkey", False),
        ("age", False),
        ("idle", False),
    ],
)
def test_whole_numbers_that_are_named_like_an_identifier(name: str, identifier: bool) -> None:
    assert of(FILL, name=name).column.kind == ("identifier" if identifier else "number")
    assert of((*FILL, "3"), name=name).column.kind == "number"  # not all distinct
    assert of((*FILL, "3.5"), name=name).column.kind == "number"
    assert of((*FILL, ""), name=name).column.kind == "number"
    assert of(FILL, "number", name=name).column.kind == "number"


def test_values() -> None:
    numbers = of(["1", "", " -2.5", "?", "1e3"])
    np.testing.assert_array_equal(numbers.column.values, [1, np.nan, -2.5, np.nan, 1000])
    assert numbers.tokens == {"", "?"}
    np.testing.assert_array_equal(of(["Yes", "", "no"]).column.values, [1, np.nan, 0])
    np.testing.assert_array_equal(
        of(["1970-01-02", "NA", "1970-01-01 00:01"]).column.values, [86400, np.nan, 60]
    )
    category = of(["b", "a ", "", "b", "Ä"]).column
    assert (category.levels, category.values.tolist(), category.values.dtype) == (
        ("a", "b", "Ä"),
        [1, 0, -1, 1, 2],
        "i4",
    )


def test_types_that_overrule() -> None:
    assert of(["01", "2", "?"], "category").column.levels == ("01", "2")
    np.testing.assert_array_equal(of(["0", "1", ""], "boolean").column.values, [0, 1, np.nan])
    np.testing.assert_array_equal(of(["20260101", "19700102"], "date").column.values[1:], [86400])
    assert of(["a", "b"], "identifier").column.kind == "identifier"
    assert of(["", ""], "category").empty


def test_slashed_dates_are_not_guessed() -> None:
    assert of(["11/23/2026", "01/02/2026"]).warnings == (
        "t.csv, line 2, column 'c': '11/23/2026' is a date with the day or the month first, which is not read; 2 of 2 values "
        "(100%) are in such forms, so the column is read as a category. Write dates as 2026-11-23 (pandas.to_datetime(…, "
        "dayfirst=False) reads such a column); or say data.types: {c: category} if these are no dates.",
    )


def test_sentences_are_text_and_why_is_said() -> None:
    assert (
        of([f"it is prose of number {i}" for i in range(20)]).why
        == "6 words on average, 20 different ones in 20 rows"
    )
    assert of([f"Person {i} Smith" for i in range(20)]).column.kind == "identifier"


def test_a_column_is_text_because_the_recipe_says_so() -> None:
    found = read(
        "c", pa.chunked_array([pa.array(["yes", "NA", None, " no "])]), "text", READING
    ).column
    assert (found.kind, found.strings()) == ("text", ["yes", "", "", "no"])
    numbers = read("c", pa.chunked_array([pa.array([1.5, None])]), "text", READING).column
    assert (numbers.kind, numbers.strings()) == ("text", ["1.5", ""])


def test_odd_dates_are_a_loud_warning() -> None:
    cells = ["2026-11-23", "2026-11-24"] * 10
    cells[7] = "soon"
    assert of(cells).warnings == (
        "t.csv, line 9, column 'c': 'soon' among dates; 1 of 20 values is no date, so the whole column is read as a "
        "category. Correct the file, add the text to data.missing, or say data.types: {c: date} to make this an error.",
    )


CELLS = st.one_of(
    st.text("0123456789+-.eEinfaNAxX_? \t\u00a0", max_size=9),
    st.floats().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(values.show_number),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=12).map(str),
    st.sampled_from(
        [
            "nan",
            "nan(1)",
            "inf",
            "1e999",
            "",
            "NA",
            " NA ",
            "١",
            "1\u00a0",
            "0x1p3",
            "1d",
            "1f",
            "infinity",
        ]
    ),
)


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_columns_of_numbers_follow_the_rules_of_a_cell(cells: list[str]) -> None:
    """Arrow's parser, where it is used, gives the same bits as the rules that serving applies cell
    by cell.
    """
    stripped = [cell.strip() for cell in cells]
    expected = [math.nan if cell in READING.missing else values.number(cell) for cell in stripped]
    try:
        column = of(cells, "number").column
    except DataError:
        assert any(value is None or math.isinf(value) for value in expected)
        return
    assert None not in expected
    wanted = np.array(expected, dtype=np.float64)
    np.testing.assert_array_equal(column.values, wanted)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(
        np.signbit(column.values[known]), np.signbit(wanted[known])
    )  # -0.0


@given(
    st.lists(
        st.text(max_size=6) | st.sampled_from(["yes", "No ", "T", "0", "2026-01-01"]),
        min_size=1,
        max_size=6,
    )
)
def test_other_columns_follow_the_rules_of_a_cell(cells: list[str]) -> None:
    stripped = [cell.strip() for cell in cells]
    kind = values.level_type({*stripped} - READING.missing)
    meant = [values.level(cell, kind) for cell in stripped]
    assert of(cells, "category").column.strings() == [
        "" if cell in READING.missing else cell for cell in meant
    ]
    rules: tuple[tuple[ColumnKind, Any], ...] = (
        ("boolean", values.boolean),
        ("date", values.moment),
    )
    for kind, rule in rules:
        expected = [math.nan if cell in READING.missing else rule(cell) for cell in stripped]
        if None in expected:
            with pytest.raises(DataError):
                of(cells, kind)
        else:
            np.testing.assert_array_equal(
                of(cells, kind).column.values, np.array(expected, dtype=np.float64)
            )


def test_typed_columns_of_a_frame() -> None:
    moments = pd.to_datetime(
        ["2026-11-23T12:00", None, "1970-01-01", "1970-01-02"], format="ISO8601"
    )
    dataset = frame(
        whole=[1, 2, 3, 4],
        nullable=pd.array([1, None, 3, 4], dtype="Int64"),
        real=np.float32([0.5, np.nan, 2, 3]),
        truth=[True, False, True, True],
        maybe=pd.array([True, None, False, True], dtype="boolean"),
        moment=moments,
        zoned=moments.tz_localize("Europe/Berlin"),
        day=[dt.date(1970, 1, 2)] * 4,
        span=pd.to_timedelta(["1min", "2min", "3min", None]),
        text=["1", "2", "3", ""],
        words=["a", "b", None, "a"],
        coded=pd.Categorical(["1", "2", None, "1"]),
        mixed=[1, "a", None, 2.5],
        nothing=[None] * 4,
        date_of_code=pd.Categorical([3, 1, 1, 3]),
    )
    kinds = {name: column.kind for name, column in dataset.table.columns.items()}
    assert kinds == {
        "whole": "number",
        "nullable": "number",
        "real": "number",
        "truth": "boolean",
        "maybe": "boolean",
        "moment": "date",
        "zoned": "date",
        "day": "date",
        "span": "number",
        "text": "number",
        "words": "category",
        "coded": "category",
        "mixed": "category",
        "date_of_code": "category",
    }
    held = {name: column.values.tolist() for name, column in dataset.table.columns.items()}
    np.testing.assert_array_equal(held["moment"], [1795435200, np.nan, 0, 86400])
    np.testing.assert_array_equal(held["zoned"], [1795435200 - 3600, np.nan, -3600, 86400 - 3600])
    np.testing.assert_array_equal(held["nullable"], [1, np.nan, 3, 4])
    np.testing.assert_array_equal(held["maybe"], [1, np.nan, 0, 1])
    np.testing.assert_array_equal(held["span"], [60, 120, 180, np.nan])
    assert dataset.table.columns["coded"].levels == ("1", "2")
    assert dataset.table.columns["date_of_code"].levels == ("1", "3")
    assert dataset.table.columns["mixed"].levels == ("1", "2.5", "a")
    assert dataset.warnings == ("nothing: no value in any row; the column is left out.",)


def test_typed_columns_that_are_overruled() -> None:
    table = pd.DataFrame(
        {
            "a": [1.0, 2.5, np.nan, 1.0],
            "b": [True, False, True, True],
            "c": [1, 0, 1, 0],
            "d": [0, 60, 1, 2],
            "e": pd.to_datetime(["2026-11-23"] * 4),
            "y": ["p", "q"] * 2,
        }
    )
    types: dict[str, Any] = {
        "a": "category",
        "b": "category",
        "c": "boolean",
        "d": "date",
        "e": "category",
    }
    columns = from_frame(table, Data(source="frame", target="y", types=types), None).table.columns
    assert columns["a"].strings() == ["1", "2.5", "", "1"]
    assert columns["b"].strings() == ["True", "False", "True", "True"]
    assert columns["e"].strings() == ["2026-11-23"] * 4
    assert (columns["c"].kind, columns["c"].values.tolist()) == ("boolean", [1, 0, 1, 0])
    assert (columns["d"].kind, columns["d"].values.tolist()) == ("date", [0, 60, 1, 2])


def test_json_lines_of_mixed_types(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '\ufeff{"n": 1, "t": true, "m": 1, "y": "p", "late": null}\n\n'
        '{"n": 2.5, "t": null, "m": "a", "y": "q", "late": 3}\n{"m": true, "n": 1e400, "y": "q"}\n'.replace(
            "1e400", "NaN"
        )
    )
    dataset = load(Data(source="t.jsonl", target="y"), None, tmp_path)
    columns = dataset.table.columns
    np.testing.assert_array_equal(columns["n"].values, [1, 2.5, np.nan])
    np.testing.assert_array_equal(columns["t"].values, [1, np.nan, np.nan])
    np.testing.assert_array_equal(columns["late"].values, [np.nan, 3, np.nan])
    assert columns["m"].strings() == ["1", "a", "True"]


def test_json_lines_in_several_chunks(tmp_path: Path) -> None:
    lines = [
        f'{{"a": {i}, "y": "{"pq"[i % 2]}"' + (f', "b": "{i}.5"}}' if i > 69_000 else "}")
        for i in range(70_000)
    ]
    lines[3] = '{"a": 0.5, "y": "p"}'
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    columns = load(Data(source="t.jsonl", target="y"), None, tmp_path).table.columns
    assert columns["a"].values[[3, 69_999]].tolist() == [0.5, 69_999]
    assert np.isnan(columns["b"].values[:69_001]).all()
    assert columns["b"].values[-1] == 69_999.5
