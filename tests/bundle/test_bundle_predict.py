"""Raw rows in every usual form give the same answers; bad ones are refused by row and column; files
are streamed.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import tracemalloc
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_bundle

from sixfold.bundle import stream
from sixfold.bundle.cells import reader
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.stream import predict_file
from sixfold.core.errors import DataError, RowError, SystemFault
from sixfold.recipe.signature import Input

FIRST = tiny_bundle.expected()["probability"][0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("predict") / "bundle"))


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(tiny_bundle.make(tmp_path_factory.mktemp("predict") / "bundle", "regression"))


def test_rows_columns_and_frames_agree(bundle: Bundle) -> None:
    row = tiny_bundle.raw()
    frame = pd.DataFrame([row, {**row, "size": None, "colour": None}])
    frame["since"] = pd.to_datetime(frame["since"])
    frame["fate"] = "keep"
    answers = [
        bundle.predict([row]),
        bundle.predict({name: [value] for name, value in row.items()}),
        bundle.predict(frame),
    ]
    for answer in answers:
        assert answer.labels is not None
        assert answer.labels[0] == "keep"
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities[0], FIRST, atol=1e-12)
        assert answer.decisions is None
        assert answer.values is None
    assert len(answers[2]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "1.5"},
        {"size": " 1.5 "},
        {"size": np.float32(1.5)},
        {"label": 2.0},
        {"label": np.int64(2)},
        {"label": "2"},
        {"new": 1},
        {"new": "yes"},
        {"new": "TRUE"},
        {"new": np.bool_(True)},
        {"new": 1.0},
        {"since": dt.date(2026, 11, 23)},
        {"since": dt.datetime(2026, 11, 23)},
        {"since": pd.Timestamp("2026-11-23")},
        {"since": dt.datetime(2026, 11, 23, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))},
        {"since": 1795392000},
        {"since": "2026-11-23T00:00:00Z"},
        {"since": "23.11.2026"},
        {"since": "2026-11-23 00:00:00"},
        {"colour": " red"},
    ],
)
def test_a_value_may_be_written_in_several_ways(bundle: Bundle, changes: dict[str, Any]) -> None:
    answer = bundle.predict([tiny_bundle.raw(**changes)])
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities[0], FIRST, atol=1e-12)


@pytest.mark.parametrize("missing", [None, "", "NA", "?", float("nan"), pd.NA, pd.NaT, np.nan])
@pytest.mark.parametrize("column", ["size", "label", "new", "since", "colour"])
def test_missing_is_missing_in_every_type(regression: Bundle, column: str, missing: Any) -> None:
    meaning = dict(
        zip(("size", "label", "new", "since", "colour"), tiny_bundle.MEANING[0], strict=True)
    )
    meaning[column] = "" if column == "colour" else float("nan")
    answer = regression.predict([tiny_bundle.raw(**{column: missing})])
    assert answer.values is not None
    assert answer.values[0, 0] == pytest.approx(tiny_bundle.score(**meaning), abs=1e-9)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("size", "1_000", "a number"),
        ("size", "inf", "a finite number"),
        ("size", float("-inf"), "a finite number"),
        ("size", 10**400, "a number"),
        ("size", {}, "a number"),
        ("new", 2, "true or false"),
        ("new", "on?", "true or false"),
        ("since", "11/23/2026", "a date such as 2026-11-23 or 2026-11-23T15:20:00Z"),
        ("since", True, "a date, or seconds since 1970"),
        ("since", 1e15, "seconds since 1970 of a year from 1 to 9999"),
        ("colour", "\ud800", "text that UTF-8 can hold"),
        ("colour", b"red", "text"),
    ],
)
def test_a_bad_value_is_named_by_row_and_column(
    bundle: Bundle, column: str, value: Any, expected: str
) -> None:
    with pytest.raises(RowError) as caught:
        bundle.predict([tiny_bundle.raw(), tiny_bundle.raw(**{column: value})])
    assert (caught.value.where, caught.value.expected) == (f"row 2, column '{column}'", expected)


def test_numbers_of_a_category_are_its_text() -> None:
    category = reader(Input(name="c", type="category", levels=("3", "a")), frozenset({"", "-1"}))
    given = (3, 3.0, 4.0, 2.5, True, -1, np.int64(7), 1e300, 2**63 + 1)
    assert [category(v) for v in given] == [
        "3",
        "3.0",
        "4.0",
        "2.5",
        "True",
        "",
        "7",
        "1e+300",
        "9223372036854775809",
    ]


def test_levels_that_are_numbers_take_every_writing() -> None:
    category = reader(
        Input(name="c", type="category", levels=("1", "2"), level_type="number"),
        frozenset({"", "-1"}),
    )
    for same in (1, 1.0, "1", " 1.0 ", np.float32(1), np.uint8(1), Decimal("1"), Decimal("1.0")):
        assert category(same) == "1"
    assert [category(other) for other in ("01", "1.00", "1E0", True, -1, "-1.0", "x")] == [
        "01",
        "1.00",
        "1E0",
        "True",
        "",
        "",
        "x",
    ]


@pytest.mark.parametrize("rows", ["text", 7, [1], {"size": "text"}, {"size": 3}])
def test_what_are_no_rows_is_said(bundle: Bundle, rows: Any) -> None:
    with pytest.raises(RowError):
        bundle.predict(rows)


def test_other_columns_are_passed_over_or_refused(bundle: Bundle) -> None:
    row = tiny_bundle.raw(id=7)
    assert len(bundle.predict([row])) == 1
    with pytest.raises(RowError, match="the unknown column 'id'"):
        bundle.predict([row], extra="refuse")


def test_large_batches_are_the_small_ones_one_after_the_other(regression: Bundle) -> None:
    rows = [tiny_bundle.raw(size=number) for number in range(9000)]
    answer = regression.predict(rows)
    assert answer.values is not None
    np.testing.assert_allclose(np.diff(answer.values[:, 0]), 0.5, atol=1e-9)
    assert answer.records()[8999] == {"value": answer.values[8999, 0]}


def test_no_rows_no_answers(bundle: Bundle) -> None:
    answer = bundle.predict([])
    assert (len(answer), answer.records()) == (0, [])


def test_predictions_display_escaped_and_short(bundle: Bundle) -> None:
    shown = bundle.predict([tiny_bundle.raw()] * 30)._repr_html_()
    assert "probability_&lt;toss&gt;" in shown
    assert shown.count("<tr>") == 21
    assert "… 10 more rows" in shown


def csv_text(rows: int) -> str:
    lines = [",".join(tiny_bundle.ROWS[number % 4].values()) for number in range(rows)]
    return "\ufeff" + "\n".join(["size,label,new,since,colour", *lines]) + "\n"


def json_text(rows: int) -> str:
    return "".join(json.dumps(tiny_bundle.ROWS[number % 4]) + "\n" for number in range(rows))


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(
                zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED
            )  # no time: it would be in a test's name
    return made.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "rows.csv",
        "rows.csv.gz",
        "rows.jsonl",
        "rows.jsonl.gz",
        "rows.csv.zip",
        "rows.zip",
        "rows.parquet",
        "rows.parquet.gz",
    ],
)
@pytest.mark.parametrize("out", ["answers.csv", "answers.jsonl"])
def test_files_are_answered_row_by_row(bundle: Bundle, tmp_path: Path, name: str, out: str) -> None:
    source, seen = tmp_path / name, []
    if ".parquet" in name:
        held = pd.DataFrame([tiny_bundle.ROWS[number % 4] for number in range(5000)]).to_parquet()
        source.write_bytes(gzip.compress(held) if name.endswith(".gz") else held)
    else:
        text = (csv_text(5000) if ".csv" in name else json_text(5000)).encode()
        inside = (
            {"rows.csv": text}
            if name == "rows.csv.zip"
            else {"folder/": b"", "folder/rows.jsonl": text}
        )
        packed = gzip.compress(text) if name.endswith(".gz") else text
        source.write_bytes(zipped(inside) if name.endswith(".zip") else packed)
    assert (
        predict_file(bundle, source, tmp_path / out, lambda answers: seen.append(len(answers)))
        == 5000
    )
    assert seen == [4096, 904]
    answers = (
        pd.read_csv(tmp_path / out)
        if out.endswith("csv")
        else pd.read_json(tmp_path / out, lines=True)
    )
    assert answers["label"].tolist()[:4] == tiny_bundle.expected()["label"].tolist()
    assert len(answers) == 5000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, out])


def test_a_bad_row_deep_in_a_file_is_named_and_nothing_is_left(
    bundle: Bundle, tmp_path: Path
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text(csv_text(5000) + "big,1,true,,red\n", encoding="utf-8")
    with pytest.raises(RowError) as caught:
        predict_file(bundle, source, tmp_path / "out.csv")
    assert caught.value.where == f"{source}, row 5001, column 'size'"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("name", "content", "kind", "text"),
    [
        (
            "a.csv",
            b"",
            RowError,
            "line 1: expected a header with the names of the columns; found nothing",
        ),
        (
            "a.csv",
            b"size,label,new,since,colour\n",
            DataError,
            "expected at least one row; found none",
        ),
        ("a.csv", b"size\n1,2\n", RowError, "line 2: expected 1 fields; found 2 fields"),
        ("a.csv", b"size\n\xff\n", DataError, "expected UTF-8 text"),
        (
            "a.csv",
            b"size\n" + b"x" * 2_000_000,
            RowError,
            "expected lines of at most 1,048,576 characters",
        ),
        ("a.csv.gz", b"no gzip", DataError, "expected a whole gzip file"),
        ("a.csv.zip", b"no zip", DataError, "expected a whole zip file"),
        (
            "a.zip",
            zipped({"a.csv": b"", "b.csv": b""}),
            DataError,
            "expected a zip with exactly one file in it; found 2 files (a.csv, b.csv)",
        ),
        ("a.zip", zipped({"a.csv": b"size\n1\n"})[:-60], DataError, "expected a whole zip file"),
        ("a.jsonl", b"[1]\n", RowError, "line 1: expected a JSON object; found [1]"),
        ("a.jsonl", b"{\n", RowError, "line 1: expected a JSON object"),
        ("a.parquet", b"PAR1", DataError, "expected a Parquet file"),
        (
            "a.xls",
            b"",
            DataError,
            "expected a file ending in .csv, .tsv, .txt, .jsonl, .ndjson, .parquet, .xlsx, .xlsm (.gz",
        ),
    ],
)
def test_bad_files_are_refused_with_the_reason(
    bundle: Bundle, tmp_path: Path, name: str, content: bytes, kind: type[Exception], text: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind) as caught:
        predict_file(bundle, tmp_path / name, tmp_path / "out.csv")
    assert text in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_parquet_without_pyarrow_names_the_extra(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(stream.importlib, "import_module", absent)
    with pytest.raises(SystemFault, match=r"pip install 'sixfold\[train\]'"):
        predict_file(bundle, tmp_path / "a.parquet", tmp_path / "out.csv")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(bundle: Bundle, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        (tmp_path / "rows.csv").write_text(csv_text(rows), encoding="utf-8")
        tracemalloc.start()
        try:
            predict_file(bundle, tmp_path / "rows.csv", tmp_path / "out.csv")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20_000) < 1.2 * peak(8_192)


def test_keys_that_are_absent_are_missing_values_as_in_training(
    bundle: Bundle, tmp_path: Path
) -> None:
    optional = [column.name for column in bundle.signature.inputs if column.optional]
    assert optional
    whole = [dict(tiny_bundle.ROWS[number % 4]) for number in range(6)]
    for number, name in enumerate(optional):
        whole[number + 1][name] = None
    text = "".join(json.dumps(row) + "\n" for row in whole)
    (tmp_path / "whole.jsonl").write_text("\ufeff" + text, encoding="utf-8")
    sparse = [{name: value for name, value in row.items() if value is not None} for row in whole]
    (tmp_path / "sparse.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sparse))
    for name in ("whole", "sparse"):
        predict_file(bundle, tmp_path / f"{name}.jsonl", tmp_path / f"{name}.csv")
    assert (tmp_path / "sparse.csv").read_text() == (tmp_path / "whole.csv").read_text()
    misspelled = {
        ("x" + name if name == optional[0] else name): value for name, value in whole[0].items()
    }
    (tmp_path / "other.jsonl").write_text(json.dumps(misspelled) + "\n")
    with pytest.raises(RowError, match=f"found 'x{optional[0]}'. Rename it to '{optional[0]}'."):
        predict_file(bundle, tmp_path / "other.jsonl", tmp_path / "other.csv")


def test_empty_lines_before_the_header_are_passed_over_as_in_training(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(csv_text(3), encoding="utf-8")
    (tmp_path / "late.csv").write_bytes(
        b"\xef\xbb\xbf\r\n\n" + csv_text(3).removeprefix("\ufeff").encode()
    )
    for name in ("rows", "late"):
        predict_file(bundle, tmp_path / f"{name}.csv", tmp_path / f"{name}.out.csv")
    assert (tmp_path / "late.out.csv").read_text() == (tmp_path / "rows.out.csv").read_text()
