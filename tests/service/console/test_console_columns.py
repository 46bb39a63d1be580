"""The first look at a file beside what training reads of it."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from sixfold.data import load
from sixfold.recipe.schema import Data
from sixfold.service.console import column_look, file_preview

ROWS = 40
CELLS = {
    "number": [f"{at * 1.5 - 9}" for at in range(ROWS)],
    "whole": [str(at % 7) for at in range(ROWS)],
    "boolean": ["yes" if at % 3 else "no" for at in range(ROWS)],
    "date": [f"2026-0{1 + at % 9}-1{at % 9}" for at in range(ROWS)],
    "category": ["red" if at % 2 else "dark green" for at in range(ROWS)],
    "with gaps": ["" if at % 4 else str(at) for at in range(ROWS)],
    "customer_id": [f"c-{at:05d}" for at in range(ROWS)],
    "text": [f"the {at} quick brown foxes jump over {at * 3} lazy dogs" for at in range(ROWS)],
}


def test_kinds_are_those_that_training_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = zip(*CELLS.values(), strict=True)
    lines = [
        ",".join(CELLS) + ",target",
        *(f"{','.join(row)},{at % 2}" for at, row in enumerate(table)),
    ]
    path.write_text("\n".join(lines) + "\n")
    dataset = load.load(Data(source="a.csv", target="target"), None, tmp_path, None)
    read = {name: column.kind for name, column in dataset.table.columns.items()}
    with path.open("rb") as file:
        seen = file_preview.look(file)
    looked = dict(zip(seen.columns, seen.kinds, strict=True))
    assert looked["customer_id"] == "identifier" and "customer_id" not in read
    assert {name: looked[name] for name in read} == read
    assert (seen.row_count, seen.exact, seen.problems) == (ROWS, True, ())


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("a,,c\n1,2,3\n", "blank_names"),
        ("a,b,a\n1,2,3\n", "same_names"),
        ("1,2\n3,4\n", "no_header"),
        ("a,b\n1,2\n3\n4,5\n", "uneven"),
        ("a,b\n1,\n3,NA\n", "empty_columns"),
        ("a,b\n", "no_rows"),
        ("a,b\n1,\xe9\n2,xxxxxxxx\n", "not_utf8"),
    ],
)
def test_what_is_odd_is_told(content: str, word: str) -> None:
    found = file_preview.look(io.BytesIO(content.encode("latin-1")))
    assert [one.word for one in found.problems] == [word]
    uneven = next((one.facts for one in found.problems if one.word == "uneven"), None)
    assert uneven is None or uneven == {"n": 1, "row": 2}


@pytest.mark.parametrize("rows", [10, 3000, 30_000])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_rows_are_counted_to_the_end(rows: int, form: str, end: str) -> None:
    lines = [json.dumps({"a": at, "b": "x" * 20}) for at in range(rows)]
    if form == "csv":
        lines = ["a,b", *(f"{at},{'x' * 20}" for at in range(rows))]
    content = ("\n".join(lines) + end).encode()
    found = file_preview.look(io.BytesIO(content))
    assert found.row_count == rows and found.exact == (len(content) < file_preview.START_BYTES)
    packed = file_preview.look(io.BytesIO(gzip.compress(content)))
    assert packed.row_count in (rows, None)  # a packed file is not unpacked to be counted


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "number"),
        ([True, False], "boolean"),
        ([{"a": 1}, None], "nested"),
        ([[1]], "nested"),
        ([None], "empty"),
        (["a.png", "b.JPG"], "image"),
    ],
)
def test_kinds_of_json(values: list[object], kind: str) -> None:
    assert column_look.kind_of_json(values) == kind
