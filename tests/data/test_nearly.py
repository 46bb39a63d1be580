"""Columns that are nearly numbers or dates: never silently words, and what the warning says to
write works.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.core.errors import DataError
from sixfold.data.load import load
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object

NUMBERS = [round(float(x), 2) for x in np.random.default_rng(5).lognormal(7, 2, 60)]
NUMBERS[3], NUMBERS[8] = -1234567.5, -0.25


def comma(value: float) -> str:
    return f"{value:,.2f}".replace(",", "~").replace(".", ",").replace("~", ".")


WRITINGS: dict[str, Callable[[float], str]] = {
    "dollars": lambda v: f"${v:,.2f}" if v >= 0 else f"-${-v:,.2f}",
    "euros behind": lambda v: f"{comma(v)} €",
    "euros before": lambda v: f"EUR {v:.2f}",
    "percent": lambda v: f"{v:.2f}%",
    "a unit": lambda v: f"{v:.2f} kg",
    "thousands": lambda v: f"{v:,.2f}",
    "spaces": lambda v: f"{v:,.2f}".replace(",", "\u202f").replace(".", ","),
    "apostrophes": lambda v: f"{v:,.2f}".replace(",", "’"),
    "comma": comma,
    "parentheses": lambda v: f"({-v:.2f})" if v < 0 else f"{v:.2f}",
    "behind": lambda v: f"{-v:.2f}-" if v < 0 else f"{v:.2f}",
    "everything": lambda v: f"(US$ {-v:,.2f})" if v < 0 else f"US$ {v:,.2f}",
}


def dataset(folder: Path, cells: Sequence[str], **data: object) -> Dataset:
    """`z` differs in every row and numbers none: no row equals another, and no column is left
    out.
    """
    lines = [
        json.dumps({"x": cell, "z": i / 2, "y": "pq"[i % 2]}, ensure_ascii=False)
        for i, cell in enumerate(cells)
    ]
    (folder / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = from_object({"data": {"source": "t.jsonl", "target": "y", **data}}).recipe
    return load(recipe.data, None, folder)


def snippet(warning: str, key: str) -> object:
    """What the warning says to write under data, read as YAML."""
    start = warning.index(f"data.{key}: ") + len(f"data.{key}: ")
    opened, depth = warning[start], 0
    for end in range(start, len(warning)):
        depth += warning[end] == opened
        depth -= warning[end] == {"{": "}", "[": "]"}[opened]
        if depth == 0:
            return yaml.safe_load(warning[start : end + 1])
    raise AssertionError(warning)


@pytest.mark.parametrize("writing", WRITINGS)
def test_the_remedy_of_the_warning_reads_the_numbers(tmp_path: Path, writing: str) -> None:
    cells = [WRITINGS[writing](value) for value in NUMBERS]
    seen = dataset(tmp_path, cells)
    assert "x" not in seen.table.columns or seen.table.columns["x"].kind == "category"
    (warning,) = seen.warnings
    assert re.search(
        r"column 'x': .* is a number with marks \(.*\), as are 60 of 60 values \(100%\)", warning
    )
    again = dataset(tmp_path, cells, read=snippet(warning, "read"))
    assert again.warnings == ()
    np.testing.assert_allclose(
        again.table.columns["x"].values, [round(v, 2) for v in NUMBERS], rtol=1e-12
    )


def test_a_minus_of_typesetters_is_a_minus(tmp_path: Path) -> None:
    seen = dataset(tmp_path, [f"{v:.2f}".replace("-", "\u2212") for v in NUMBERS])
    np.testing.assert_allclose(seen.table.columns["x"].values, NUMBERS)
    assert seen.warnings == ()


@pytest.mark.parametrize(
    "token", ["?", "-", ".", "n.a.", "unknown", "missing", "#N/A", "nicht bekannt"]
)
@pytest.mark.parametrize("marked", [False, True])
def test_one_repeated_token_is_proposed_as_missing(
    tmp_path: Path, token: str, marked: bool
) -> None:
    cells = [
        token if i % 3 == 0 else f"${v:.2f}" if marked else f"{v:.2f}"
        for i, v in enumerate(NUMBERS)
    ]
    (warning,) = dataset(tmp_path, cells).warnings
    missing = snippet(warning, "missing")
    assert isinstance(missing, list)
    assert missing[0] == token
    assert missing[1:] == ["", "NA", "N/A", "NaN", "nan", "null", "None"]
    read = {"read": snippet(warning, "read")} if marked else {}
    column = dataset(tmp_path, cells, missing=missing, **read).table.columns["x"]
    assert column.kind == "number"
    assert np.isnan(column.values).tolist() == [i % 3 == 0 for i in range(60)]


@pytest.mark.parametrize(
    "cells",
    [
        [f"k{i % 9}" for i in range(60)],
        ["1", "2", "red"] * 20,
        ["1", "2", "3", "4+"] * 15,
        [f"A{i % 9}" for i in range(60)],
        [f"{i % 12}{'ABCD'[i % 4]}" for i in range(60)],
        ["1st", "2nd", "3rd"] * 20,
        [f"{i % 9}-{i % 9 + 5}" for i in range(60)],
        [f"10.0.{i % 9}.1" for i in range(60)],
        [f"room {i % 9}" for i in range(60)],
        ["yes", "no", "maybe"] * 20,
        ["v1.2", "v1.10"] * 30,
        ["1,2", "1,2,3", "2,3,4,5", "1", "1,3,4"] * 12,
        [f"+49 30 {i % 9}1234" for i in range(60)],
    ],
)
def test_categories_are_left_in_peace(tmp_path: Path, cells: list[str]) -> None:
    assert dataset(tmp_path, cells).warnings == ()


def test_units_that_differ_are_not_stripped(tmp_path: Path) -> None:
    cells = [f"{i % 9 + 1} {('weeks', 'years', 'days')[i % 3]}" for i in range(60)]
    (warning,) = dataset(tmp_path, cells).warnings
    assert "the units differ ('weeks', 'years', 'days')" in warning
    assert "data.read" not in warning


def test_a_mark_that_may_be_either_is_proposed_both_ways(tmp_path: Path) -> None:
    (warning,) = dataset(tmp_path, [f"{i % 9 + 1},{100 + i}" for i in range(60)]).warnings
    assert 'data.read: {columns: {x: {thousands: ","}}}' in warning
    assert '(or {columns: {x: {decimal: ","}}}, if the mark is the other one)' in warning


@pytest.mark.parametrize(
    ("form", "cells"),
    [
        ("a date with the day or the month first", ["11/23/2026", "1/2/2020", "01/02/2021 10:00"]),
        ("a date with two digits of its year", ["23.11.26", "1.2.20"]),
        ("a time of day", ["9:30", "10:15", "23:59:59"]),
        ("a time of day", ["9:30 AM", "10:15 pm"]),
        ("a time of twelve hours", ["2026-11-23 9:30 AM", "2026-11-24 10:15 PM"]),
        ("a moment of a named time zone", ["2026-11-23 09:30 EST", "2026-11-24 10:15:00 CET"]),
        ("a month without a day", ["2026-11", "2026-12"]),
        ("the day of the week", ["Mon, 23 Nov 2026", "Tue, 24 Nov 2026"]),
    ],
)
def test_dates_that_are_not_read_are_told(tmp_path: Path, form: str, cells: list[str]) -> None:
    (warning,) = dataset(tmp_path, cells * 10).warnings
    assert form in warning
    assert "Write " in warning
    assert "data.types: {x: category}" in warning
    assert dataset(tmp_path, cells * 10, types={"x": "category"}).warnings == ()


def test_dates_that_leave_no_doubt_are_read(tmp_path: Path) -> None:
    column = dataset(
        tmp_path, ["1970-1-2", "1970-01-02 00:00:01 UTC", "1970-1-3 00:00 GMT"] * 4
    ).table.columns["x"]
    assert column.kind == "date"
    assert column.values[:3].tolist() == [86400, 86401, 172800]


def test_a_target_with_marks_is_refused_with_the_remedy_and_read_by_it(tmp_path: Path) -> None:
    cells = [f"${v:,.2f}" for v in map(abs, NUMBERS)]
    with pytest.raises(DataError) as caught:
        dataset(tmp_path, cells, target="x")
    found = dataset(tmp_path, cells, target="x", read=snippet(str(caught.value), "read"))
    assert found.target.task == "regression"
    np.testing.assert_allclose(found.target.values, np.abs(NUMBERS))


def test_a_column_that_is_read_with_marks_holds_numbers_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'x': expected a number; found 'soon'"):
        dataset(tmp_path, ["$1", "$2", "soon"] * 9, read={"columns": {"x": {"strip": ["$"]}}})
    with pytest.raises(
        DataError, match=r"data.read.columns: expected the name of a column; found 'xx'"
    ):
        dataset(tmp_path, ["$1", "$2"] * 9, read={"columns": {"xx": {"strip": ["$"]}}})


@settings(max_examples=60)
@given(st.lists(st.text(max_size=70), min_size=1, max_size=30))
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    safe = [cell.encode("utf-8", "ignore").decode() for cell in cells]
    dataset(tmp_path_factory.mktemp("any"), [*safe, "a", "b"])


def test_the_remedies_of_several_columns_are_one_key(tmp_path: Path) -> None:
    text = "a;b;c;y\n" + "".join(f"${i},5;{i * 3}%;{i * 3};{'pq'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(text)

    def of(**data: object) -> Dataset:
        section = {"source": "t.csv", "target": "y", "separator": ";", **data}
        return load(from_object({"data": section}).recipe.data, None, tmp_path)

    warnings = of().warnings
    assert len(warnings) == 3
    seen = of(read=snippet(warnings[2], "read"))
    assert seen.warnings == ()
    assert seen.table.columns["a"].values[:2].tolist() == [0.5, 1.5]
    assert {name: column.kind for name, column in seen.table.columns.items()} == dict.fromkeys(
        "abc", "number"
    )
