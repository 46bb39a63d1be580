"""predict: columns passed through, an output that is never the input, encodings, Excel, files
without a header, marks.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import tiny_bundle

from sixfold.bundle.frontend import FrontEnd
from sixfold.bundle.headerless import Fields
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.stream import predict_file
from sixfold.core.errors import DataError, RowError
from sixfold.recipe.reading import Marks
from sixfold.recipe.signature import Signature
from sixfold.serve import body

COLUMNS = ("size", "label", "new", "since", "colour")
FIELDS = ("id", "size", "label", "new", "fate", "since", "colour")
DATA = "version: 1\nname: tiny\ndata: {source: shapes.csv, target: fate, "
HEADLESS = f"{DATA}header: false, names: [{', '.join(FIELDS)}]}}\n"
MARKED = f'{DATA}read: {{encoding: cp1252, columns: {{size: {{decimal: ","}}}}}}}}\n'


def signature(**changes: Any) -> Signature:
    return tiny_bundle.signature().model_copy(update=changes)


def marked() -> Signature:
    first, *others = tiny_bundle.signature().inputs
    marks = Marks(decimal=",", thousands=".", strip=("kg",), accounting=True)
    return signature(inputs=(first.model_copy(update={"read": marks}), *others))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("keep") / "bundle"))


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(
        tiny_bundle.make(
            tmp_path_factory.mktemp("keep") / "b",
            signature=signature(fields=FIELDS),
            recipe=HEADLESS,
        )
    )


def rows(count: int = 5) -> list[dict[str, Any]]:
    return [{"id": f"k{i}", **tiny_bundle.ROWS[i % 4], "ok": i % 2 == 0} for i in range(count)]


def write_csv(path: Path, found: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("out", ["csv", "jsonl"])
def test_kept_columns_stand_before_the_answers(
    bundle: Bundle, tmp_path: Path, kind: str, out: str
) -> None:
    source = tmp_path / f"rows.{kind}"
    if kind == "csv":
        write_csv(source, rows(5000))
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows(5000)))
    target = tmp_path / f"out.{out}"
    assert predict_file(bundle, source, target, keep=("id", "label", "ok")) == 5000
    text = target.read_text().splitlines()
    found = list(csv.DictReader(text)) if out == "csv" else [json.loads(line) for line in text]
    assert list(found[0])[:4] == ["id", "input_label", "ok", "label"]
    assert [row["id"] for row in found] == [f"k{i}" for i in range(5000)]
    assert [row["input_label"] for row in found[:4]] == [row["label"] for row in tiny_bundle.ROWS]
    assert str(found[0]["ok"]).lower() == "true"
    plain = tmp_path / "plain.csv"
    predict_file(bundle, source, plain)
    assert [row["label"] for row in csv.DictReader(plain.read_text().splitlines())] == [
        row["label"] for row in found
    ]


def test_a_kept_column_that_is_not_there(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"--keep: expected a column of the file; found 'idd'. Did you mean 'id'\? All: colour",
    ):
        predict_file(
            bundle, write_csv(tmp_path / "r.csv", rows()), tmp_path / "o.csv", keep=("idd",)
        )
    assert not (tmp_path / "o.csv").exists()


def test_the_input_is_never_overwritten(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_csv(tmp_path / "r.csv", rows())
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    os.link(source, tmp_path / "hard.csv")
    (tmp_path / "aside.csv.tmp").symlink_to(source)
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("r.csv", "link.csv", "hard.csv", "d/../r.csv", str(source), "aside.csv"):
        with pytest.raises(DataError, match=r"expected another file than the one that is read"):
            predict_file(bundle, source, Path(name))
    assert source.read_bytes() == before


def lines(bundle: Bundle, names: list[str]) -> str:
    return "".join(",".join(row.get(name, "p") for name in names) + "\n" for row in rows(4))


@pytest.mark.parametrize(
    "names",
    [
        ["id", "size", "label", "new", "fate", "since", "colour"],
        ["id", "size", "label", "new", "since", "colour"],
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_lines_without_a_header(
    bundle: Bundle, headless: Bundle, tmp_path: Path, names: list[str], named: bool
) -> None:
    (tmp_path / "r.csv").write_text(
        (",".join(names) + "\n" if named else "") + lines(headless, names)
    )
    predict_file(headless, tmp_path / "r.csv", tmp_path / "o.csv", keep=("id",))
    expected = bundle.predict(tiny_bundle.ROWS).labels
    found = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    assert expected is not None
    assert [(row["id"], row["label"]) for row in found] == [
        (f"k{i}", label) for i, label in enumerate(expected)
    ]
    content = (tmp_path / "r.csv").read_bytes()
    sent = body.parse(content, "text/csv", ",", Fields.of(headless.signature))
    answers = headless.predict(sent, extra="refuse").labels
    assert answers is not None
    assert list(answers) == list(expected)


def test_a_line_of_other_fields(headless: Bundle, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("1,2,3\n")
    with pytest.raises(RowError) as caught:
        predict_file(headless, tmp_path / "r.csv", tmp_path / "o.csv")
    assert "line 1: expected 7 fields (id, size, label, new, …), or 6 without the target" in str(
        caught.value
    )
    assert Fields.of(tiny_bundle.signature()) is None


def test_marks_are_read_as_in_training() -> None:
    front_end = FrontEnd(marked())
    texts = ["1.234,5 kg", "(2)", "\u22123,5", "7-", "", "?"]
    by_text = front_end.feeds([tiny_bundle.raw(size=text) for text in texts])["numbers"][:, 0]
    by_number = front_end.feeds(
        [tiny_bundle.raw(size=n) for n in (1234.5, -2, -3.5, -7.0, None, float("nan"))]
    )["numbers"][:, 0]
    assert by_text.tolist()[:4] == by_number.tolist()[:4] == [1234.5, -2, -3.5, -7]
    assert all(value != value for value in (*by_text[4:], *by_number[4:]))
    with pytest.raises(RowError, match=r"row 1, column 'size': expected a number; found '1.5'"):
        front_end.feeds([tiny_bundle.raw(size="1.5")])


def test_another_encoding_and_marks_in_a_file(bundle: Bundle, tmp_path: Path) -> None:
    other = load(
        tiny_bundle.make(
            tmp_path / "b",
            signature=marked(),
            recipe=MARKED,
            parity=tiny_bundle.Parity(
                [{**row, "size": row["size"].replace(".", ",")} for row in tiny_bundle.ROWS],
                tiny_bundle.expected(),
            ),
        )
    )
    text = "size;label;new;since;colour\n1,5;2;true;2026-11-23;café\n".replace(";", "\t")
    for encoding in ("cp1252", "utf-16", "utf-8-sig"):
        (tmp_path / "r.tsv").write_bytes(text.encode(encoding))
        predict_file(other, tmp_path / "r.tsv", tmp_path / "o.jsonl")
        (found,) = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
        assert found == bundle.predict([tiny_bundle.raw(colour="café")]).records()[0]
    (tmp_path / "r.tsv").write_bytes(text.encode("cp1252") + b"1,5\t2\ttrue\t\t\x81\n")
    with pytest.raises(
        DataError, match=r"line 3, byte .*: expected cp1252 text; found the byte 0x81"
    ):
        predict_file(other, tmp_path / "r.tsv", tmp_path / "o.jsonl")


def test_bytes_that_are_no_text_are_named_by_line(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(
        b"size,label,new,since,colour\n1,2,true,,red\n1,2,true,,caf\xe9\n"
    )
    with pytest.raises(
        DataError, match=r"r.csv, line 3, byte 55: expected UTF-8 text; found the byte 0xE9"
    ):
        predict_file(bundle, tmp_path / "r.csv", tmp_path / "o.csv")


def test_excel(bundle: Bundle, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [
        ["id", *COLUMNS],
        *[[row["id"], *[row[name] for name in COLUMNS]] for row in rows(4)],
        [],
    ]:
        book.active.append(row)
    book.active["B2"], book.active["C2"], book.active["D2"] = 1.5, 2, True
    book.save(tmp_path / "r.xlsx")
    predict_file(bundle, tmp_path / "r.xlsx", tmp_path / "o.csv", keep=("id",))
    found = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    expected = bundle.predict(tiny_bundle.ROWS).labels
    assert expected is not None
    assert [row["label"] for row in found] == list(expected)
