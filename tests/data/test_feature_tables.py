"""Tables of what is known of users and items: read, keyed by the names of the interactions, or refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.core.errors import DataError
from sixfold.data.load import load
from sixfold.parts.interactions import ITEM, USER
from sixfold.parts.table import Dataset
from sixfold.plan.run_context import digest
from sixfold.recipe.schema import Data

SEEN = "user,item,time\n1,a,1\n2,b,2\n1,b,3\n3,a,4\n"
USERS = "user,age,plan,note\n1.0,30,free,\n3,,paid,likes long walks\n9,50,free,\n"
ITEMS = "sku,price,kind\na,1.5,x\nb,2.5,y\nnew,9,x\n"


def loaded(
    folder: Path, users: str = USERS, items: str = ITEMS, section: dict[str, Any] | None = None
) -> Dataset:
    for name, text in (("seen", SEEN), ("users", users), ("items", items)):
        (folder / f"{name}.csv").write_text(text)
    asked = {
        "source": "seen.csv",
        "time": "time",
        "users": {"source": "users.csv", "types": {"note": "text"}},
        "items": {"source": "items.csv", "key": "sku"},
        **(section or {}),
    }
    return load(Data.model_validate(asked), "recommendation", folder)


def test_a_row_belongs_to_a_name_however_it_is_written(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    side = data.table.sides[USER]
    assert side.keys == ("1", "3", "9")
    assert {name: column.kind for name, column in side.table.columns.items()} == {
        "age": "number",
        "plan": "category",
        "note": "text",
    }
    places = side.places(["3", "2", "1"])
    assert places.tolist() == [1, 3, 0]
    age = side.table.take(places).columns["age"].values
    np.testing.assert_array_equal(age, [np.nan, np.nan, 30.0])
    assert side.table.take(places).columns["plan"].strings() == ["paid", "", "free"]
    assert data.table.sides[ITEM].keys == ("a", "b", "new")
    told = " ".join(data.notes)
    assert (
        "Of users age, plan, note (users.csv): 2 of the 3 users that occur are in it, and 1 more, who did"
        in told
    )
    assert "Of items price, kind (items.csv): all 2 items that occur are in it, and 1 more" in told


def test_rows_share_the_tables_and_the_digest_tells_them_apart(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    some = data.take(np.array([2, 0]))
    assert some.table.sides is data.table.sides
    same, other = loaded(tmp_path), loaded(tmp_path, users=USERS.replace("30", "31"))
    assert digest(data) == digest(same) != digest(other)
    assert digest(data) != digest(loaded(tmp_path, items=ITEMS + "newer,1,y\n"))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a name twice": (
        {"users": USERS + "1,3,free,\n"},
        "users.csv, line 5, column 'user': expected each name once, as the column is the key of data.users; found '1' again. "
        "Leave one of the rows out.",
    ),
    "no name": (
        {"users": USERS + ",3,free,\n"},
        "users.csv, line 5, column 'user': expected a name, as the column is the key of data.users; found a missing one. Leave "
        "the row out.",
    ),
    "no key": (
        {"items": ITEMS.replace("sku", "sk")},
        "items.csv, data.items: expected the name of a column; found 'sku'. Did you mean 'sk'? All: kind, price, sk.",
    ),
    "nothing besides": (
        {"items": "sku\na\n"},
        "items.csv, data.items: expected a column besides 'sku' that can be used; found none. Name one in types, or leave the "
        "table out.",
    ),
    "a number that is none": (
        {"section": {"users": {"source": "users.csv", "types": {"plan": "number"}}}},
        "users.csv, line 2, column 'plan': expected a number; found 'free'. Correct it, add it to data.missing, or leave out "
        "data.types: plan.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told(tmp_path: Path, case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(DataError) as found:
        loaded(tmp_path, **changes)
    assert str(found.value).replace(f"{tmp_path}/", "") == message


def test_other_tables_have_no_sides(tmp_path: Path) -> None:
    (tmp_path / "seen.csv").write_text(SEEN)
    data = load(Data(source="seen.csv", time="time"), "recommendation", tmp_path)
    assert not data.table.sides
