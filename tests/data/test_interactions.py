"""Tables of interactions: what is read, and what is refused or left out and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold.core.errors import DataError, SixfoldError
from sixfold.data.load import load
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Data

GOOD = (
    "user,item,when,stars\na,x,2024-01-01,5\nb,y,2024-01-02,3\na,y,2024-01-03,1\na,x,2024-01-04,2\n"
)
ALL = {"user": "user", "item": "item", "rating": "stars"}


def read(folder: Path, text: str = GOOD, name: str = "t.csv", **section: Any) -> Dataset:
    (folder / name).write_text(text)
    return load(Data(source=name, **section), "recommendation", folder)


def refused(folder: Path, text: str, **section: Any) -> str:
    with pytest.raises(SixfoldError) as caught:
        read(folder, text, **section)
    return str(caught.value).replace(f"{folder}/", "")


def test_columns_get_their_parts(tmp_path: Path) -> None:
    data = read(tmp_path, time="when", interactions=ALL)
    assert list(data.table.columns) == ["user", "item", "rating", "time"]
    assert data.table.columns["user"].strings() == ["a", "b", "a", "a"]
    assert data.table.columns["item"].strings() == ["x", "y", "y", "x"]
    assert data.table.columns["rating"].values.tolist() == [5, 3, 1, 2]
    assert data.times is not None
    assert (np.diff(data.times) == 86_400).all()
    assert data.target.task == "recommendation"
    assert data.notes == (
        "4 interactions of 2 users with 2 items, 75.00% of all pairs; 1 repeat an earlier pair; 2024-01-01 to 2024-01-04.",
        "Columns: 'stars' is the rating, 'when' is the time.",
    )


def test_names_of_other_columns(tmp_path: Path) -> None:
    text = GOOD.replace("user,item,when,stars", "who,what,when,stars")
    data = read(tmp_path, text, interactions={"user": "who", "item": "what"})
    assert list(data.table.columns) == ["user", "item"]
    assert data.times is None
    assert data.groups is None
    assert data.notes[1] == "Columns: 'who' is the user, 'what' is the item."


def test_whole_users(tmp_path: Path) -> None:
    data = read(tmp_path, group="user")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0, 0]


def test_a_rating_that_is_too_low_is_no_interaction(tmp_path: Path) -> None:
    data = read(tmp_path, interactions={**ALL, "least_rating": 2})
    assert data.table.columns["rating"].values.tolist() == [5, 3, 2]
    assert "1 row left out: a rating below 2." in data.notes


BAD = {
    "no column": ("user,thing\na,x\nb,y\n", {}, "t.csv, data.interactions.item"),
    "an item without a name": (
        "user,item\na,x\nb,\na,y\n",
        {},
        "t.csv, line 3, column 'item': expected a value, as it is the item; found a missing one.",
    ),
    "nobody": (
        "user,item\na,x\nNA,y\na,y\n",
        {},
        "t.csv, line 3, column 'user': expected a value, as it is the user; found a missing one.",
    ),
    "a time that is none": (
        "user,item,when\na,x,2024-01-01\nb,y,yesterday\na,y,2024-01-02\n",
        {"time": "when"},
        "t.csv, line 3, column 'when'",
    ),
    "no time": (
        "user,item,when\na,x,2024-01-01\nb,y,\na,y,2024-01-02\n",
        {"time": "when"},
        "t.csv, line 3, column 'when': expected a value, as it is the time; found a missing one.",
    ),
    "a negative rating": (
        "user,item,stars\na,x,5\nb,y,-2\na,y,1\n",
        {"interactions": ALL},
        "t.csv, line 3, column 'stars': expected a rating of 0 or more; found -2.",
    ),
    "a rating that is no number": (
        "user,item,stars\na,x,5\nb,y,many\na,y,1\n",
        {"interactions": ALL},
        "t.csv, line 3, column 'stars'",
    ),
    "one user": (
        "user,item\na,x\na,y\n",
        {},
        "t.csv, column 'user': expected at least 2 different values, to learn what they have in common; found 1.",
    ),
    "one item": (
        "user,item\na,x\nb,x\n",
        {},
        "t.csv, column 'item': expected at least 2 different values, to learn what they have in common; found 1.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told(tmp_path: Path, case: str) -> None:
    text, section, expected = BAD[case]
    assert refused(tmp_path, text, **section).startswith(expected)


def test_rows_are_left_out_and_counted_where_the_recipe_says_so(tmp_path: Path) -> None:
    text = "user,item,when,stars\na,x,1,5\n,y,2,3\nb,NA,3,1\na,y,,4\nb,y,5,-1\nb,x,6,\nb,z,7,2\n"
    data = read(tmp_path, text, time="when", interactions={**ALL, "unusable": "skip"})
    assert data.table.columns["user"].strings() == ["a", "b"]
    assert data.times is not None
    assert data.times.tolist() == [1, 7]
    assert data.notes[2:] == (
        "1 row left out: 'user' is not a value, as it is the user.",
        "1 row left out: 'item' is not a value, as it is the item.",
        "1 row left out: 'when' is not a value, as it is the time.",
        "1 row left out: 'stars' is not a value, as it is the rating.",
        "1 row left out: 'stars' is not a rating of 0 or more.",
    )


def test_a_place_is_that_of_the_file_after_rows_were_left_out(tmp_path: Path) -> None:
    text = "user,item,when\n,x,1\na,x,2\nb,y,tomorrow\n"
    told = refused(tmp_path, text, time="when", interactions={"unusable": "skip"})
    assert told.startswith("t.csv, line 4, column 'when'")


def test_nothing_left(tmp_path: Path) -> None:
    told = refused(tmp_path, "user,item\n,x\n,y\n", interactions={"unusable": "skip"})
    assert told.startswith("t.csv: expected interactions; found none that can be used (2 rows left")


def test_parquet_is_read_as_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": [3, 1, 3], "item": ["x", "y", "z"], "when": [1.5, 2.5, 3.5]})
    frame.to_parquet(tmp_path / "t.parquet")
    section = Data(source="t.parquet", time="when")
    parquet = load(section, "recommendation", tmp_path)
    csv = read(tmp_path, frame.to_csv(index=False), time="when")
    assert parquet.notes == csv.notes
    for name, column in csv.table.columns.items():
        other = parquet.table.columns[name]
        assert column.levels == other.levels
        np.testing.assert_array_equal(column.values, other.values)


def test_a_column_that_is_not_there_has_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, interactions={"item": "itm"})
    assert "item" in caught.value.remedy
