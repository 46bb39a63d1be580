"""From a file to a Dataset: the task, the classes, and everything that is said about it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sixfold.core.errors import DataError
from sixfold.data.load import from_frame, load
from sixfold.data.raw import text_rows
from sixfold.data.signature import inputs
from sixfold.parts.table import Column, Dataset, Table, Task
from sixfold.recipe.schema import Data
from sixfold.recipe.signature import Input

ADULT = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def of(tmp_path: Path) -> Any:
    def read(text: str, task: Task | None = None, name: str = "t.csv", **options: Any) -> Dataset:
        (tmp_path / name).write_bytes(text.encode())
        return load(Data(**{"source": name, "target": "y", **options}), task, tmp_path)

    return read


def rows(target: list[Any]) -> str:
    return "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(target))


def test_everything_is_said(of: Any) -> None:
    lines = [
        f"{i},{i % 7},k{i % 3},{'?' if i % 5 else 'x'},true,2026-01-0{1 + i % 9},{'pq'[i % 2]}"
        for i in range(30)
    ]
    lines[4] = "4,,k1,?,,NA,p"
    lines[9] = "9,3,k1,?,false,2026-01-01,"
    dataset = of("id,n,c,d,b,t,y\n" + "\n".join(lines), missing=("?", "NA"), drop=("b",))
    assert dataset.notes == (
        "30 rows; 1 number, 2 categories, 1 date; 2 columns with '?', 'NA' read as missing; 1 column with empty cells",
        "Not used, as identifiers: id (data.types can say otherwise).",
        "Not used, as data.drop says: b.",
        "'y' is predicted: classification, 2 classes: p (15), q (14).",
        "1 row has no target and is left out; the first is line 11.",
    )
    assert list(dataset.table.columns) == ["n", "c", "d", "t"]
    assert dataset.table.rows == len(dataset.target.values) == 29
    assert dataset.warnings == ()


def test_line_ends_marks_and_separators(of: Any) -> None:
    plain = of('a,b,y\n1,"x, y",p\n2,z,q\n')
    assert plain.table.columns["b"].levels == ("x, y", "z")
    variants = {
        "crlf": ('a,b,y\r\n1,"x, y",p\r\n2,z,q\r\n', {}),
        "bom": ('\ufeffa,b,y\n1,"x, y",p\n2,z,q', {}),
        "quoted names": ('"a"," b ",y\n1,"x, y",p\n\n2,z,q\n\n', {}),
        "empty lines first": ('\n\r\na,b,y\n1,"x, y",p\n2,z,q\n', {}),
        "spaces": ('a, b, y\n 1, "x\n2,z,q\n'.replace('"x', "x; y").replace("; ", "; ") + "", {}),
        "semicolon": ("a;b;y\n1;x, y;p\n2;z;q\n", {"separator": ";"}),
        "tabs": ("a\tb\ty\n1\tx, y\tp\n2\tz\tq\n", {"name": "t.tsv"}),
        "txt": ('a,b,y\n1,"x, y",p\n2,z,q\n', {"name": "t.txt"}),
    }
    del variants["spaces"]
    for text, options in variants.values():
        dataset = of(text, **options)
        assert dataset.notes == plain.notes
        assert dataset.table.columns["b"].levels == ("x, y", "z")
        assert dataset.table.columns["a"].values.tolist() == [1, 2]


def test_spaces_around_cells_do_not_count(of: Any) -> None:
    dataset = of("a, b, y\n 1, x , p\n2,\tx,q \n 3, ? , p\n", missing=("?",))
    assert dataset.table.columns["b"].strings() == ["x", "x", ""]
    assert dataset.target.classes == ("p", "q")
    assert of("a,y\n1,p\n2,q\n", missing=(" ?",)).warnings == (
        "data.missing: ' ?' is never found, because cells are compared without spaces around them.",
    )


def test_packed_tabs(tmp_path: Path) -> None:
    (tmp_path / "t.tsv.gz").write_bytes(
        gzip.compress(b"a\ty\n1\tp\n") + gzip.compress(b"2\tq\n")
    )  # two members
    assert load(Data(source="t.tsv.gz", target="y"), None, tmp_path).table.columns[
        "a"
    ].values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        ([0, 1] * 5, "classification", ("0", "1")),
        ([2, 10, 1] * 5, "classification", ("1", "2", "10")),
        ([2, 10, 1] * 4, "regression", ()),  # fewer than five rows each
        (list(range(20)) * 5, "classification", tuple(str(i) for i in range(20))),
        (list(range(21)) * 5, "regression", ()),
        ([0.5, 1.5] * 5, "regression", ()),
        (["1.0", "", "0.0"] * 5, "classification", ("0", "1")),
        (["1.0", "1", "0"] * 5, "classification", ("0", "1")),
        (["yes", "no"] * 5, "classification", ("no", "yes")),
        (["TRUE", "FALSE"] * 5, "classification", ("False", "True")),
        (["01", "1", "2"] * 5, "classification", ("01", "1", "2")),
        (["b", "a", "10", "9"] * 5, "classification", ("10", "9", "a", "b")),
        ([-1, 1] * 5, "classification", ("-1", "1")),
        ([*["0", "1"] * 20, "unknown"], "classification", ("0", "1", "unknown")),
        ([i * 7 for i in range(40)], "regression", ()),
    ],
)
def test_task_and_classes(of: Any, target: list[Any], task: str, classes: tuple[str, ...]) -> None:
    dataset = of(rows(target))
    assert (dataset.target.task, dataset.target.classes) == (task, classes)
    known = [str(value) for value in target if value != ""]
    if task == "classification" and "1.0" not in known:
        assert [classes[code].lower() for code in dataset.target.values] == [
            text.lower() for text in known
        ]
        assert dataset.target.values.dtype == np.int64
    if task == "regression":
        assert dataset.target.values.tolist() == [float(value) for value in known]


def test_what_is_said_of_the_task(of: Any) -> None:
    assert of(rows([0, 1] * 5)).notes[1:] == (
        "The target 'y' holds 2 different whole numbers: they are read as classes (task: regression reads them as values).",
        "'y' is predicted: classification, 2 classes: 0 (5), 1 (5).",
    )
    assert of(rows([0, 1] * 5), "regression").notes[1:] == (
        "'y' is predicted: regression, values from 0 to 1.",
    )
    assert of(rows([0, 1] * 5), types={"y": "number"}).target.task == "regression"
    assert of(rows([0, 1] * 5), types={"y": "category"}).notes[1:] == (
        "'y' is predicted: classification, 2 classes: 0 (5), 1 (5).",
    )
    assert of(rows([0.5, 1.5] * 5), "classification").target.classes == ("0.5", "1.5")
    assert (
        of(rows([f"k{i % 8}" for i in range(16)]))
        .notes[1]
        .endswith("8 classes: k0 (2), k1 (2), k2 (2), k3 (2), k4 (2), k5 (2), ….")
    )


def test_a_target_that_is_named_like_an_identifier(of: Any) -> None:
    text = "a,id\n" + "".join(f"{i % 3},{i * 3}\n" for i in range(40))
    assert of(text, target="id").target.task == "regression"


def test_classes_of_a_frame() -> None:
    def classes(cells: Any) -> tuple[str, ...]:
        frame = pd.DataFrame({"a": [1, 2, 3, 4], "y": cells})
        return from_frame(frame, Data(source="frame", target="y"), None).target.classes

    assert classes([True, False, True, True]) == ("False", "True")
    assert classes([1.0, np.nan, 0.0, 1.0]) == ("0", "1")
    assert classes(pd.Categorical(["b", "a", "b", None])) == ("a", "b")
    assert classes(pd.Categorical([10, 9, 9, 10])) == ("9", "10")


def test_reconstruction(of: Any) -> None:
    dataset = load(Data(source="random:20x3"), "reconstruction", Path())
    columns = dataset.table.columns
    assert dataset.notes == (
        "20 rows; 3 numbers",
        "3 numbers are to be reproduced: reconstruction.",
    )
    assert dataset.target.names == ("x0", "x1", "x2")
    np.testing.assert_array_equal(
        dataset.target.values, np.stack([c.values for c in columns.values()], axis=1)
    )
    holed = of("a,b,c\n1,x,2\n,y,3\n4,x,5\n", "reconstruction", target=None)
    assert holed.target.values.tolist() == [[1, 2], [4, 5]]
    assert holed.table.columns["b"].strings() == ["x", "x"]
    assert holed.notes[-1] == "1 row has no target and is left out; the first is line 3."


def test_groups_and_times(of: Any) -> None:
    dataset = of(
        "a,h,t,y\n1,u,2026-01-02,p\n2,v,2026-01-01,q\n3,u,2026-01-03,\n4,u,2026-01-04,q\n",
        group="h",
        time="t",
    )
    assert list(dataset.table.columns) == ["a", "t"]
    assert dataset.groups is not None
    assert dataset.times is not None
    assert dataset.groups.tolist() == [0, 1, 0]
    assert (dataset.times - 1767225600).tolist() == [86400, 0, 3 * 86400]
    assert "Not used as a feature, since it groups the rows: h." in dataset.notes
    ids = of("a,id,y\n1,7,p\n2,3,q\n3,5,q\n", time="id", drop=("id",))
    assert ids.times is not None
    assert ids.times.tolist() == [7, 3, 5]
    assert list(ids.table.columns) == ["a"]


def test_signature(of: Any) -> None:
    table = of(
        "n,c,b,t,y\n1,x,yes,1970-01-02,p\n2.5,z,no,1970-01-03,q\n4,z,,1970-01-05,p\n,?,no,1970-01-04,q\n",
        missing=("?",),
    ).table
    assert inputs(table, ["t", "n", "c", "b"]) == (
        Input(name="t", type="date", minimum=86400, median=2.5 * 86400, maximum=4 * 86400),
        Input(name="n", type="number", minimum=1, median=2.5, maximum=4, optional=True),
        Input(name="c", type="category", levels=("z", "x"), optional=True),
        Input(name="b", type="boolean", optional=True),
    )
    part = inputs(table.take(np.array([0])), ["c", "b"])  # of these rows alone
    assert part == (
        Input(name="c", type="category", levels=("x",)),
        Input(name="b", type="boolean"),
    )
    many = Table(
        {
            "c": Column(
                "category", np.arange(80, dtype=np.int32), tuple(f"{i:02}" for i in range(80))
            )
        },
        80,
    )
    assert inputs(many, ["c"])[0].levels == tuple(f"{i:02}" for i in range(80))


def test_rows_as_text_are_read_back_to_the_same_bits(of: Any) -> None:
    text = (
        'n,c,b,t,y\n0.1,x,no,1970-01-02,p\n-2,"z, ""q""",no,2026-11-23T15:20:01.25+02:00,q\n'
        "1e300,é,,,p\n,,yes,1969-12-31,q\n-0.0,x,no,1900-01-01,q\n12345678901234567890,x,no,1900-01-01,q\n"
    )
    table = of(text).table
    names = list(table.columns)
    again = text_rows(table, names)
    assert again[0] == {"n": "0.1", "c": "x", "b": "false", "t": "1970-01-02T00:00:00Z"}
    assert again[1] == {"n": "-2", "c": 'z, "q"', "b": "false", "t": "2026-11-23T13:20:01.250000Z"}
    assert again[3] == {"n": "", "c": "", "b": "true", "t": "1969-12-31T00:00:00Z"}
    frame = pd.DataFrame(again)
    frame["y"] = list("pqpqqq")
    back = from_frame(frame, Data(source="frame", target="y"), None).table
    for name in names:
        assert back.columns[name].kind == table.columns[name].kind
        assert back.columns[name].values.tobytes() == table.columns[name].values.tobytes()


def adult(name: str) -> Dataset:
    if not (ADULT / name).is_file():
        pytest.skip(f"{ADULT / name} is not on this machine")
    return load(Data(source=name, target="income", missing=("?",)), None, ADULT)


def test_adult_census() -> None:
    train, test = adult("adult_train.csv.gz"), adult("adult_test.csv.gz")
    assert train.notes == (
        "32,561 rows; 6 numbers, 8 categories; 3 columns with '?' read as missing",
        "'income' is predicted: classification, 2 classes: <=50K (24,720), >50K (7,841).",
        "2 rows equal another row in every column and differ in the target.",
        "24 rows equal an earlier row in every column and the target. Equal rows stay on one side of every split; if they are "
        "cases of their own that happen to be alike, data.duplicates: ignore divides them like any rows.",
    )
    assert train.warnings == test.warnings == ()
    assert test.table.rows == 16_281
    assert test.target.classes == train.target.classes
    kinds = {name: column.kind for name, column in train.table.columns.items()}
    assert [name for name, kind in kinds.items() if kind == "number"] == [
        "age",
        "fnlwgt",
        "education_num",
        "capital_gain",
        "capital_loss",
        "hours_per_week",
    ]
    assert {name: column.kind for name, column in test.table.columns.items()} == kinds
    assert [name for name, column in train.table.columns.items() if column.missing().any()] == [
        "workclass",
        "occupation",
        "native_country",
    ]
    frame = pd.read_csv(ADULT / "adult_train.csv.gz", na_values=["?"], keep_default_na=False)
    for name, column in train.table.columns.items():
        if column.kind == "number":
            np.testing.assert_array_equal(column.values, frame[name].to_numpy(dtype=float))
        else:
            assert column.strings() == frame[name].fillna("").tolist()


def test_messages_in_a_file_that_knows_no_quotes(tmp_path: Path) -> None:
    """SMS messages, tab-separated: one record is broken in two, and ten begin with quotes that
    close too early.
    """
    if not (ADULT / "sms_spam.tsv.gz").is_file():
        pytest.skip(f"{ADULT / 'sms_spam.tsv.gz'} is not on this machine")
    with pytest.raises(DataError) as error:
        load(Data(source="sms_spam.tsv.gz", target="ham"), "classification", ADULT)
    assert "sms_spam.tsv.gz, line 6: expected 2 fields, as in the header; found 1 fields." in str(
        error.value
    )
    text = gzip.decompress((ADULT / "sms_spam.tsv.gz").read_bytes()).decode()
    mended = "label\ttext\n" + text.replace(
        "lives around he\nre though", "lives around here though"
    )
    (tmp_path / "t.tsv").write_text(mended)
    with pytest.raises(DataError) as error:
        load(Data(source="t.tsv", target="label"), None, tmp_path)
    assert "expected quotes around a whole field; found text after a closing quote." in str(
        error.value
    )
    records = [line.split("\t") for line in mended.splitlines() if line]
    quoted = "\n".join(
        "\t".join('"' + cell.replace('"', '""') + '"' for cell in cells) for cells in records
    )
    (tmp_path / "t.tsv").write_text(quoted)
    dataset = load(Data(source="t.tsv", target="label"), None, tmp_path)
    assert dataset.table.rows == 5574
    assert dataset.table.columns["text"].strings() == [cells[1].strip() for cells in records[1:]]
    assert dataset.target.classes == ("ham", "spam")
    assert dataset.table.columns["text"].kind == "text"
    assert any(
        note.startswith("text: read as text (16 words on average, 5,1") for note in dataset.notes
    )
