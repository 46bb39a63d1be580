"""How files are read: without a header, in other encodings, from Excel; and a second file as the
holdout.
"""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from sixfold.core.errors import DataError, RecipeError, SystemFault
from sixfold.data import test_rows
from sixfold.data.load import load
from sixfold.parts.table import Dataset
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Data

TABLES = Path(__file__).parents[3] / "shared" / "data" / "tables"
LINES = [f"{i * 0.5},{'ab'[i % 2]},{'pq'[i % 2]}" for i in range(40)]
TEXT = "größe,b,y\n" + "".join(f"{i / 2},{'äß€'[i % 3]},{'pq'[i % 2]}\n" for i in range(40))


def read(folder: Path, content: bytes | str, name: str = "t.csv", **data: Any) -> Dataset:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(
        from_object({"data": {"source": name, "target": "y", **data}}).recipe.data, None, folder
    )


def test_without_a_header(tmp_path: Path) -> None:
    headed = read(tmp_path, "x,b,y\n" + "\n".join(LINES))
    named = read(tmp_path, "\n".join(LINES), header=False, names=["x", "b", "y"])
    plain = read(tmp_path, "\n\n" + "\n".join(LINES), header=False, target="column_3")
    assert headed.warnings == named.warnings == plain.warnings == ()
    assert named.fields == ("x", "b", "y")
    assert plain.fields == ("column_1", "column_2", "column_3")
    assert headed.fields == ()
    for other in (named, plain):
        assert other.target.classes == ("p", "q")
        for mine, column in zip(
            other.table.columns.values(), headed.table.columns.values(), strict=True
        ):
            np.testing.assert_array_equal(mine.values, column.values)


def test_lines_of_a_file_without_a_header(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"t.csv, line 3, column 'x': expected a number; found 'oops'"
    ):
        read(
            tmp_path,
            "1,a,p\n2,a,q\noops,b,p\n",
            header=False,
            names=["x", "b", "y"],
            types={"x": "number"},
        )
    with pytest.raises(
        DataError, match=r"line 2: expected 3 fields, as in the first line; found 2 fields"
    ):
        read(tmp_path, "1,a,p\n2,a\n", header=False, target="column_3")
    with pytest.raises(
        DataError, match=r"line 1: expected 2 fields, one for each of data.names; found 3 fields"
    ):
        read(tmp_path, "1,a,p\n2,a,q\n", header=False, names=["x", "y"])
    with pytest.raises(DataError, match=r"data.target: expected the name of a column; found 'y'"):
        read(tmp_path, "1,a,p\n2,a,q\n", header=False)
    with pytest.raises(
        RecipeError,
        match=r"expected data.header: false with data.names; found a file with a header",
    ):
        read(tmp_path, "1,a,p\n2,a,q\n", names=["x", "b", "y"])
    with pytest.raises(RecipeError, match=r"data.header: expected a source of separated text"):
        read(tmp_path, '{"y": 1}\n', "t.jsonl", header=False)


@pytest.mark.parametrize("first", ["1.5,a,p", "7,b,?", "NA,a,q"])
def test_a_first_line_of_values_is_noticed(tmp_path: Path, first: str) -> None:
    (warning,) = read(tmp_path, "\n".join([first, *LINES]), target=first.split(",")[2]).warnings
    assert "t.csv, line 1: the first line (" in warning
    assert "say data.header: false" in warning
    with pytest.raises(DataError, match=r"'a' as columns 1 and 2.*say data.header: false"):
        read(tmp_path, "\n".join(["a,a,p"] * 9))


@pytest.mark.parametrize("header", ["2019,2020,y", "0,1,y", "x,1.5,y", "q1,q2,y", ",b,y2"])
def test_names_of_many_kinds_are_no_values(tmp_path: Path, header: str) -> None:
    header = header.replace(",b,y2", "i,b,y")
    lines = [f"{i},{i * 2},{'pq'[i % 2]}" for i in range(40)]
    assert not any(
        "header" in warning for warning in read(tmp_path, "\n".join([header, *lines])).warnings
    )


@pytest.mark.skipif(not TABLES.is_dir(), reason="the shared tables are absent")
def test_every_shared_table_is_seen_to_have_no_header() -> None:
    for path in sorted(TABLES.glob("*.csv")):
        count = len(path.read_text().splitlines()[0].split(","))
        data = from_object(
            {"data": {"source": path.name, "target": f"column_{count}", "header": False}}
        ).recipe.data
        assert len(load(data, None, path.parent).fields) == count
        first = path.read_text().splitlines()[0].split(",")
        try:
            seen = load(
                Data(source=path.name, target=first[-1].strip()), None, path.parent
            ).warnings
        except DataError as error:
            seen = (str(error),)
        assert any("data.header: false" in text for text in seen), path.name


@pytest.mark.parametrize(
    "encoding", ["cp1252", "iso8859-15", "utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp850"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(tmp_path: Path, encoding: str, packed: bool) -> None:
    text = TEXT.replace("€", "ü") if encoding == "cp850" else TEXT
    plain = read(tmp_path, text)
    content = text.encode(encoding)
    notes = (
        {} if encoding in ("utf-16", "utf-32", "utf-8-sig") else {"read": {"encoding": encoding}}
    )
    name = "t.csv.gz" if packed else "t.csv"
    other = read(tmp_path, gzip.compress(content) if packed else content, name, **notes)
    assert list(other.table.columns) == list(plain.table.columns) == ["größe", "b"]
    assert other.table.columns["b"].strings() == plain.table.columns["b"].strings()


def test_a_byte_order_mark_goes_before_what_the_recipe_says(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert (
            "größe"
            in read(tmp_path, TEXT.encode(encoding), read={"encoding": "cp1252"}).table.columns
        )


def test_json_lines_in_another_encoding(tmp_path: Path) -> None:
    lines = "".join(f'{{"größe": {i}, "y": "{"äß"[i % 2]}"}}\n' for i in range(20))
    for encoding, notes in (("utf-16", {}), ("cp1252", {"read": {"encoding": "cp1252"}})):
        assert read(tmp_path, lines.encode(encoding), "t.jsonl", **notes).target.classes == (
            "ß",
            "ä",
        )


@pytest.mark.parametrize(
    ("content", "data", "message"),
    [
        (
            b"a,y\n1,p\n2,\x81\n",
            {"read": {"encoding": "cp1252"}},
            "line 3, byte 10: expected cp1252 text; found the byte 0x81",
        ),
        (
            b"a,y\n1,p\n2,\xe9\n",
            {},
            "line 3, byte 10: expected UTF-8 text; found the byte 0xE9. Say data.read: {encoding: ",
        ),
        ("a,y\n1,p\n".encode("utf-16") + b"1", {}, "expected utf-16 text"),
        ("a,y\n1,p\n".encode("utf-16-le"), {}, "Say data.read: {encoding: utf-16-le}"),
    ],
)
def test_bytes_that_are_no_text(
    tmp_path: Path, content: bytes, data: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, **data)
    assert message in str(caught.value)


def test_an_encoding_is_for_text(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2], "y": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(RecipeError, match=r"data.read.encoding: expected a source of text"):
        load(
            from_object(
                {"data": {"source": "t.parquet", "target": "y", "read": {"encoding": "cp1252"}}}
            ).recipe.data,
            None,
            tmp_path,
        )


def workbook(path: Path, rows: list[list[Any]], title: str = "Sheet") -> None:
    book = openpyxl.Workbook()
    book.active.title = "notes"
    book["notes"].append(["nothing", "here"])
    for row in rows:
        (book[title] if title in book.sheetnames else book.create_sheet(title)).append(row)
    book.save(path)


def test_excel_cells_keep_their_types(tmp_path: Path) -> None:
    head = ["whole", "real", "truth", "day", "word", "mixed", "y"]
    rows = [
        [
            i,
            i / 4,
            i % 3 == 0,
            dt.datetime(2026, 1, 1 + i % 9),
            "ab"[i % 2],
            i if i % 2 else f"{i},5",
            "pq"[i % 2],
        ]
        for i in range(30)
    ]
    rows[4][0] = None
    workbook(tmp_path / "t.xlsx", [head, *rows[:9], [None] * 7, *rows[9:]], "data")
    data = {
        "source": "t.xlsx",
        "target": "y",
        "sheet": "data",
        "read": {"columns": {"mixed": {"decimal": ","}}},
    }
    columns = load(from_object({"data": data}).recipe.data, None, tmp_path).table.columns
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == {
        "whole": "number",
        "real": "number",
        "truth": "boolean",
        "day": "date",
        "word": "category",
        "mixed": "number",
    }
    assert columns["mixed"].values[:4].tolist() == [0.5, 1, 2.5, 3]
    assert np.isnan(columns["whole"].values).tolist() == [i == 4 for i in range(30)]
    with pytest.raises(
        DataError,
        match=r"data.sheet: expected the name of a sheet; found 'dat'. Did you mean 'data'",
    ):
        load(from_object({"data": {**data, "sheet": "dat"}}).recipe.data, None, tmp_path)
    with pytest.raises(DataError, match=r"row 12, column 'word': expected a number; found 'b'"):
        bad = [*rows[:9], [None] * 7, *rows[9:]]
        for row in rows[:9]:
            row[4] = "1"
        workbook(tmp_path / "t.xlsx", [head, *bad], "data")
        load(
            from_object({"data": {**data, "types": {"word": "number"}}}).recipe.data, None, tmp_path
        )


def test_formulas_need_their_results(tmp_path: Path) -> None:
    workbook(tmp_path / "t.xlsx", [["a", "y"], [1, "p"], ["=A2+1", "q"]], "notes2")
    with pytest.raises(
        DataError, match=r"row 3, column 1: expected the result of the formula; found none for '=A2"
    ):
        load(Data(source="t.xlsx", target="y", sheet="notes2"), None, tmp_path)


def test_old_excel_and_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.xls").write_bytes(b"\xd0\xcf\x11\xe0 something")
    with pytest.raises(
        DataError, match=r"expected a file of Excel 2007 or later .* Save it as .xlsx or CSV"
    ):
        load(Data(source="t.xls", target="y"), None, tmp_path)
    workbook(tmp_path / "t.xlsx", [["a", "y"]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(SystemFault, match=r"Install the extra: pip install 'sixfold\[excel\]'"):
        load(Data(source="t.xlsx", target="y"), None, tmp_path)


def both(folder: Path, train: str, test: str, **data: Any) -> tuple[Dataset, Dataset]:
    (folder / "t.csv").write_text(train)
    (folder / "h.csv").write_text(test)
    recipe = from_object(
        {"data": {"source": "t.csv", "target": "y", "test": "h.csv", **data}}
    ).recipe
    return test_rows.load(recipe.data, recipe.task, folder)


TRAIN = "x,b,y\n" + "\n".join(LINES) + "\n"


def test_a_file_of_test_rows(tmp_path: Path) -> None:
    training, held = both(tmp_path, TRAIN, "y,extra,b,x\nq,1,never,5\n,1,a,6\np,2,a,\n")
    alone = read(tmp_path, TRAIN)
    assert (training.table.rows, held.table.rows) == (40, 2)
    for name, column in alone.table.columns.items():
        assert training.table.columns[name].levels == column.levels
        np.testing.assert_array_equal(training.table.columns[name].values, column.values)
    assert held.table.columns["b"].strings() == ["never", "a"]
    np.testing.assert_array_equal(held.table.columns["x"].values, [5, np.nan])
    assert held.target.values.tolist() == [1, 0]
    assert training.notes[-1] == "Held out: the 2 rows of h.csv (data.test)."


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            "x,y\n1,p\n",
            "h.csv, data.test: expected the column 'b', as in the training file; found no such column",
        ),
        ("x,b\n1,a\n", "h.csv, data.test: expected the column 'y', as in the training file"),
        (
            "x,b,y\n1,a,new\n",
            "h.csv, column 'y': expected classes of the training file (p, q); found 'new'",
        ),
        ("x,b,y\n1,a,p\noops,a,p\n", "h.csv, line 3, column 'x': expected a number; found 'oops'"),
        ("x,b,y\n1,a,\n", "h.csv, column 'y': expected a target in at least one row"),
    ],
)
def test_bad_files_of_test_rows(tmp_path: Path, test: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        both(tmp_path, TRAIN, test)
    assert message in str(caught.value)


def test_a_file_of_test_rows_or_a_share(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected no share beside data.test"):
        both(tmp_path, TRAIN, TRAIN, holdout=0.1)
    assert both(tmp_path, TRAIN, TRAIN, holdout=0)[1].table.rows == 40


def test_groups_in_both_files_are_told(tmp_path: Path) -> None:
    training, _ = both(tmp_path, TRAIN, "x,b,y\n1,a,p\n2,zz,q\n", group="b")
    assert training.warnings[-1].startswith(
        "1 group of 'b' has rows in both data.source and data.test"
    )
    assert both(tmp_path, TRAIN, "x,b,y\n1,zz,p\n2,zz,q\n", group="b")[0].warnings == ()
