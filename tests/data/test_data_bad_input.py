"""Bad input, each with the whole text of its error, so that nothing is lost and everybody knows
what to do.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from sixfold.core import archive
from sixfold.core.errors import DataError, RecipeError, SixfoldError
from sixfold.data.load import from_frame, load
from sixfold.parts.table import Dataset
from sixfold.recipe.schema import Data

Refused = Callable[..., str]
GOOD = "a,b,y\n1,x,p\n2,z,q\n3,x,p\n"
MANY = [f"{i},k{i % 3},{'pq'[i % 2]}" for i in range(40)]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Writes a file, reads it, and gives the error's text with the folder cut off."""

    def read(
        content: str | bytes,
        name: str = "t.csv",
        kind: type[SixfoldError] = DataError,
        **options: Any,
    ) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(kind) as error:
            load(
                Data(**{"source": name, "target": "y", **options}),
                options.pop("task", None),
                tmp_path,
            )
        return str(error.value).replace(f"{tmp_path}/", "")

    return read


def table(tmp_path: Path, text: str, **options: Any) -> Dataset:
    (tmp_path / "t.csv").write_bytes(text.encode())
    return load(Data(**{"source": "t.csv", "target": "y", **options}), None, tmp_path)


def big(line: int, cells: str) -> str:
    """A table a,b,y of 40 rows, one of which (by its line in the file) is replaced."""
    rows = list(MANY)
    rows[line - 2] = cells
    return "\n".join(["a,b,y", *rows]) + "\n"


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_file(refused: Refused, content: str) -> None:
    assert refused(content) == (
        "t.csv: expected a table with a header and rows; found an empty file. Check the export."
    )


def test_header_only(refused: Refused) -> None:
    assert (
        refused("a,b,y\n")
        == "t.csv: expected rows below the header; found a header only. Check the export."
    )
    assert (
        refused("a,b,y")
        == "t.csv: expected rows below the header; found a header only. Check the export."
    )


def test_duplicate_column_names(refused: Refused) -> None:
    assert refused("a,y,a\n1,2,3\n") == (
        "t.csv, line 1: expected each column once; found 'a' as columns 1 and 3. Rename all but one of them."
    )


def test_empty_column_name(refused: Refused) -> None:
    assert refused("a, ,y\n1,b,3\n") == (
        "t.csv, line 1, column 2: expected a name; found an empty one. Name every column (pandas writes its index as "
        "such a column: use index=False)."
    )


def test_target_absent(refused: Refused) -> None:
    assert refused(GOOD, target="Y") == (
        "t.csv, data.target: expected the name of a column; found 'Y'. All: a, b, y."
    )
    assert refused("age,income\n1,2\n", target="incme") == (
        "t.csv, data.target: expected the name of a column; found 'incme'. Did you mean 'income'? All: age, income."
    )


@pytest.mark.parametrize("row", ["1;2;3", "1,5;2;3"])
def test_another_separator(refused: Refused, row: str) -> None:
    assert refused(f"a;b;y\n{row}\n") == (
        "t.csv, line 1: expected names separated by ','; found one name that holds ';'. Set data.separator to ';' "
        "(`sixfold init --separator`)."
    )


@pytest.mark.parametrize("key", ["drop", "group", "time", "types"])
def test_other_columns_absent(refused: Refused, key: str) -> None:
    value = {"drop": ("aa",), "types": {"aa": "number"}}.get(key, "aa")
    assert refused(GOOD, **{key: value}) == (
        f"t.csv, data.{key}: expected the name of a column; found 'aa'. Did you mean 'a'? All: a, b, y."
    )


@pytest.mark.parametrize("key", ["drop", "group", "time"])
def test_the_target_in_another_part(refused: Refused, key: str) -> None:
    value = ("y",) if key == "drop" else "y"
    assert refused(GOOD, kind=RecipeError, **{key: value}) == (
        f"data.{key}: expected a column other than the target; found 'y'. Change data.{key}."
    )


def test_no_target(refused: Refused) -> None:
    assert refused(GOOD, kind=RecipeError, target=None) == (
        "data.target: expected the column to predict; found nothing. Name one of: a, b, y; or say "
        "task: reconstruction, generation (a language model) or recommendation."
    )


def test_a_target_for_reconstruction(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    with pytest.raises(RecipeError) as error:
        load(Data(source="t.csv", target="y"), "reconstruction", tmp_path)
    assert str(error.value) == (
        "data.target: expected no target for task: reconstruction; found 'y'. Leave it out, or list it in drop."
    )
    (tmp_path / "t.csv").write_text("a,b\nx,u\ny,v\n")
    with pytest.raises(DataError) as error_:
        load(Data(source="t.csv"), "reconstruction", tmp_path)
    assert str(error_.value) == (
        f"{tmp_path}/t.csv: expected at least one column of numbers to reconstruct; found none. Choose another task or "
        "data.types."
    )


def test_one_class(refused: Refused) -> None:
    assert refused("a,y\n1,p\n2,p\n3,p\n") == (
        "t.csv, column 'y': expected at least two classes; found one: 'p'. Choose another data.target, or add rows of "
        "another class."
    )


def test_one_value(refused: Refused) -> None:
    assert refused("a,y\n1,2.5\n2,2.5\n", types={"y": "number"}) == (
        "t.csv, column 'y': expected a target of at least two different numbers; found one: 2.5. Choose another "
        "data.target."
    )


@pytest.mark.parametrize("types", [{}, {"y": "number"}, {"y": "category"}])
def test_target_without_a_value(refused: Refused, types: dict[str, str]) -> None:
    assert refused("a,y\n1,\n2,NA\n", types=types) == (
        "t.csv, column 'y': expected a target in at least two rows; found no value at all. Choose another data.target, "
        "or look at data.missing."
    )


def test_a_date_as_target(refused: Refused) -> None:
    assert refused("a,y\n1,2020-01-01\n2,2020-01-02\n") == (
        "t.csv, column 'y': expected a target of classes or numbers; found dates. Choose another data.target, or turn "
        "the dates into numbers."
    )


def test_all_missing_column(tmp_path: Path) -> None:
    dataset = table(tmp_path, "a,e,y\n1,,p\n2,NA,q\n")
    assert list(dataset.table.columns) == ["a"]
    assert dataset.warnings == ("e: no value in any row; the column is left out.",)


def test_nothing_to_predict_from(refused: Refused) -> None:
    assert refused(GOOD, drop=("a", "b")) == (
        "t.csv: expected at least one column to predict from; found none that can be used. Look at data.drop and "
        "data.types."
    )


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e999"])
def test_infinite_values(refused: Refused, text: str) -> None:
    shown = "-inf" if text.startswith("-") else "inf"
    assert refused(big(7, f"{text},x,p")) == (
        f"t.csv, line 7, column 'a': expected a finite number; found {shown}. Correct it, or leave it empty if it is not "
        "known."
    )


def test_mixed_types_are_a_loud_warning(tmp_path: Path) -> None:
    dataset = table(tmp_path, big(9, "abc,x,p"))
    assert dataset.table.columns["a"].kind == "category"
    assert dataset.warnings == (
        f"{tmp_path}/t.csv, line 9, column 'a': 'abc' among numbers; 1 of 40 values is no number, so the whole column is "
        "read as a category. Correct the file, add the text to data.missing, or say data.types: {a: number} to make this "
        "an error.",
    )
    assert table(tmp_path, big(9, "abc,x,p"), missing=("abc",)).table.columns["a"].kind == "number"


def test_a_few_words_among_ten_thousand_numbers(tmp_path: Path) -> None:
    rows = [f"{i * 0.5},{'pq'[i % 2]}" for i in range(10_000)]
    for i in (9_000, 9_500, 9_999):
        rows[i] = "oops,p"
    dataset = table(tmp_path, "\n".join(["a,y", *rows]))
    assert dataset.table.columns["a"].kind == "category"
    assert (
        "line 9,002, column 'a': 'oops' is the only text among numbers: 3 of 10,000 values (less than 1%)"
        in dataset.warnings[0]
    )


def test_mixed_types_are_an_error_when_the_type_was_given(refused: Refused) -> None:
    assert refused(big(9, "abc,x,p"), types={"a": "number"}) == (
        "t.csv, line 9, column 'a': expected a number; found 'abc'. Correct it, add it to data.missing, or leave out "
        "data.types: a."
    )
    assert refused(GOOD, types={"b": "boolean"}) == (
        "t.csv, line 2, column 'b': expected true or false (also yes/no, t/f, y/n, 1/0); found 'x'. Correct it, add it "
        "to data.missing, or leave out data.types: b."
    )
    assert refused(GOOD, types={"b": "date"}) == (
        "t.csv, line 2, column 'b': expected a date such as 2026-11-23 or 2026-11-23T15:20:00Z, of the years 1 to 9999; "
        "found 'x'. Correct it, add it to data.missing, or leave out data.types: b."
    )


def test_mixed_target_is_an_error(refused: Refused) -> None:
    text = "a,y\n" + "\n".join(f"{i},{i * 1.5}" for i in range(40)) + "\n7,n/a?\n"
    assert refused(text) == (
        "t.csv, line 42, column 'y': expected a number; found 'n/a?'. Correct it, add it to data.missing, or leave out "
        "data.types: y."
    )


def test_category_of_ten_thousand_levels(tmp_path: Path) -> None:
    rows = "".join(f"level{i % 10_000},{'pq'[i % 2]}\n" for i in range(30_000))
    dataset = table(tmp_path, "c,y\n" + rows)
    assert len(dataset.table.columns["c"].levels) == 10_000
    assert dataset.warnings[:1] == (
        "c: 10,000 different values in 30,000 rows is much for a category. List it under data.drop, or group its values.",
    )


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_not_utf8(refused: Refused, name: str) -> None:
    content = b"a,b,y\n1,x,p\n2,caf\xe9,q\n"
    assert refused(gzip.compress(content) if name.endswith("gz") else content, name) == (
        f"{name}, line 3, byte 17: expected UTF-8 text; found the byte 0xE9. Say data.read: {{encoding: cp1252}}, or what "
        "else it is written in; or save the file as UTF-8."
    )


def test_not_utf8_in_the_header_or_far_away(refused: Refused) -> None:
    assert "t.csv, line 1, byte 1: expected UTF-8 text; found the byte 0xE9" in refused(
        b"a\xe9,y\n1,2\n"
    )
    far = b"a,y\n" + b"1,p\n2,q\n" * 400_000 + b"\xc3(,p\n"
    assert "line 800,002, byte 3,200,004: expected UTF-8 text; found the byte 0xC3" in refused(far)
    assert "line 2, byte 9" in refused(b'{"y": 1}\n\xff\n', "t.jsonl")


def test_ragged_rows(refused: Refused) -> None:
    assert refused("a,b,y\n1,x,p\n2,q\n") == (
        "t.csv, line 3: expected 3 fields, as in the header; found 2 fields. Put text that holds the separator into "
        "quotes."
    )
    assert "t.csv, line 2: expected 3 fields, as in the header; found 4 fields" in refused(
        "a,b,y\n1,x,p,q\n"
    )


def test_quoted_line_ends_keep_the_lines_right(refused: Refused) -> None:
    text = 'a,b,y\n1,"x\n\nstill x, and ""more""",p\n\n2,z,q\n3\n'
    assert "t.csv, line 7: expected 3 fields, as in the header; found 1 fields" in refused(text)
    assert "t.csv, line 7, column 'a'" in refused(text[:-2] + "no,z,q\n", types={"a": "number"})
    assert "t.csv, line 7, column 'a'" in refused(
        text[:-2].replace("\n", "\r\n") + "no,z,q", types={"a": "number"}
    )


def test_a_quote_that_never_closes(refused: Refused) -> None:
    assert refused('a,b,y\n1,x,p\n2,"z,q\n3,z,q\n') == (
        "t.csv, line 3: expected a closing quote; found the end of the file. Close the quote, or write it twice where it "
        "belongs to the text."
    )
    assert "line 2: expected a closing quote" in refused('y\n"z\n3\n')
    assert "line 1: expected a closing quote" in refused('a,"y\n1,2\n')


def test_quotes_that_are_only_text_keep_the_lines_right(refused: Refused) -> None:
    text = 'a,b,y\n1,5",p\n2,z,q\n3,6",q\n4,z,q\nno,z,q\n'
    assert "t.csv, line 6, column 'a'" in refused(text, types={"a": "number"})


def test_text_after_a_closing_quote(refused: Refused, tmp_path: Path) -> None:
    assert refused('a,b,y\n1,x,p\n\n2,"no" way,q\n3,"so" so,q\n') == (
        "t.csv, line 4: expected quotes around a whole field; found text after a closing quote. Put the field into quotes "
        "and write each quote inside it twice."
    )
    fine = table(tmp_path, 'a,b,y\n1,5" pipe,p\n2,"a ""b"" c",q\n3,"""d""",q\n4,"",q\n5, "e",q\n')
    assert fine.table.columns["b"].strings() == ['5" pipe', 'a "b" c', '"d"', "", '"e"']


def test_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "here.csv").write_text(GOOD)
    with pytest.raises(DataError) as error:
        load(Data(source="there.csv", target="y"), None, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/there.csv: expected a file; found no file of this name. Check the path. Beside it: here.csv."
    )
    with pytest.raises(
        DataError, match=r"Check the path\. The folder .*nowhere is empty or absent\."
    ):
        load(Data(source="nowhere/there.csv", target="y"), None, tmp_path)
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(DataError) as error:
        load(Data(source="d.csv", target="y"), None, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/d.csv: expected a file, or a folder of files that end in "
        ".bmp, .flac, .gif, .jpeg, .jpg, .mp3, .oga, .ogg, .png, .tif, .tiff, .txt, .wav, .webp; found "
        "an empty one. Give the file inside it."
    )


def test_wrong_extension(refused: Refused) -> None:
    endings = ".csv, .jsonl, .ndjson, .parquet, .tsv, .txt, .xlsm, .xlsx (also packed: .gz, .zip)"
    assert refused(GOOD, "t.docx") == (
        f"t.docx: expected a file that ends in {endings}; found '.docx'. Convert the file, or say its format: "
        "`source: csv:PATH`."
    )
    assert f"expected a file that ends in {endings}; found a name without an ending" in refused(
        GOOD, "t"
    )
    assert "found '.random'" in refused(GOOD, "t.random")


@pytest.mark.parametrize("kind", ["gzip", "Parquet", "zip"])
def test_another_format_under_this_name(refused: Refused, kind: str, tmp_path: Path) -> None:
    content = {
        "gzip": gzip.compress(GOOD.encode()),
        "Parquet": b"PAR1xxxx",
        "zip": zipped({"a.csv": GOOD}),
    }[kind]
    for name, expected in (("t.csv", "separated text"), ("t.jsonl", "JSON lines")):
        assert (
            refused(content, name)
            == f"{name}: expected {expected}; found {kind}. Name the file by what it holds."
        )


def test_damaged_gzip(refused: Refused) -> None:
    text = "a,y\n" + "".join(f"{i * 7919},p\n" for i in range(5000))
    whole = gzip.compress(text.encode())
    assert refused(whole[: len(whole) // 2], "t.csv.gz") == (
        "t.csv.gz: expected a whole gzip file; found damage (Compressed file ended before the end-of-stream marker was "
        "reached). Copy or download the file again."
    )
    assert "expected a whole gzip file; found damage (Not a gzipped file" in refused(
        GOOD, "t.csv.gz"
    )
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    assert "expected a whole gzip file; found damage" in refused(bytes(broken), "t.csv.gz")
    assert "expected a whole gzip file; found damage" in refused(whole[:-8] + b"\0" * 8, "t.csv.gz")


def zipped(members: dict[str, str], attribute: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = attribute << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def test_zips_that_are_refused(refused: Refused) -> None:
    assert refused(zipped({"a.csv": GOOD, "b.csv": GOOD}), "t.zip") == (
        "t.zip: expected a zip with exactly one file in it; found 2 files (a.csv, b.csv). Unpack it and give the file "
        "that is meant."
    )
    assert "found 0 files (none)" in refused(zipped({}), "t.zip")
    escaping = "expected a plain file in the zip; found a name that leads out of the archive. Pack the file again."
    for name in ("../a.csv", "/a.csv", "..\\a.csv"):
        assert escaping in refused(zipped({name: GOOD}), "t.zip")
    assert "t.zip, a.csv: expected a plain file in the zip; found a link." in refused(
        zipped({"a.csv": GOOD}, 0o120777), "t.zip"
    )
    assert refused(b"PK\x03\x04 no zip", "t.zip") == (
        "t.zip: expected a whole zip file; found damage (File is not a zip file). Copy or download the file again."
    )
    assert "expected a file that ends in .csv" in refused(zipped({"a.exe": GOOD}), "t.zip")
    damaged = bytearray(zipped({"a.csv": GOOD * 500}))
    damaged[60] ^= 0xFF
    assert "expected a whole zip file; found damage" in refused(bytes(damaged), "t.zip")


def test_what_macos_adds_to_a_zip_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(
        zipped({"a.csv": GOOD, "__MACOSX/._a.csv": "x", "folder/": ""})
    )
    assert load(Data(source="t.zip", target="y"), None, tmp_path).table.rows == 3


@pytest.mark.parametrize("name", ["t.csv.gz", "t.zip"])
def test_bombs(refused: Refused, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BOMB_BYTES", 1 << 20)
    text = "a,y\n" + "0,p\n" * 600_000
    content = gzip.compress(text.encode()) if name.endswith("gz") else zipped({"a.csv": text})
    assert f"{name}: expected a file that unpacks to at most 200 times its size; found " in refused(
        content, name
    )


def test_bad_json_lines(refused: Refused) -> None:
    assert refused('{"a": 1, "y": "p"}\n\n{"a": 2, "y": }\n', "t.jsonl") == (
        "t.jsonl, line 3: expected one JSON object a line; found Expecting value: line 1 column 15 (char 14). Correct or "
        "remove the line."
    )
    assert refused('{"a": 1, "y": "p"}\n[1, 2]\n', "t.jsonl") == (
        "t.jsonl, line 2: expected one JSON object a line; found a list. Write each row as {column: value}."
    )
    assert refused('{"a": 1, "y": {"b": 2}}\n', "t.jsonl") == (
        "t.jsonl, line 1, column 'y': expected a number, text, true, false or null; found a nested object. Write its "
        "parts as columns of their own."
    )
    assert (
        "column 'a': expected a number, text, true, false or null; found a nested list"
        in refused('{"a": [1], "y": 1}\n', "t.jsonl")
    )
    assert refused('{"a": 1, "a": 2}\n', "t.jsonl") == (
        "t.jsonl, line 1: expected each key once; found 'a' twice. Rename one of them."
    )
    assert refused("\n \n", "t.jsonl") == (
        "t.jsonl: expected one JSON object a line; found an empty file. Check the export."
    )
    assert "line 1: expected one JSON object a line" in refused("[" * 100_000, "t.jsonl")
    assert "t.jsonl, line 3, column 'a': expected a finite number; found inf." in refused(
        '{"a": 1, "y": "p"}\n\n{"a": 1e999, "y": "q"}\n', "t.jsonl"
    )


@pytest.mark.parametrize("separator", ['"', "\n", "§"])
def test_separators_that_are_none(refused: Refused, separator: str) -> None:
    assert refused(GOOD, kind=RecipeError, separator=separator) == (
        f"data.separator: expected one ASCII character, no quote and no line end; found {separator!r}. Use ',' or ';'."
    )


def test_half_a_character(refused: Refused) -> None:
    assert refused('{"a": "\\ud83d\\ude00", "y": 1}\n{"a": "\\ud83d", "y": 2}\n', "t.jsonl") == (
        "t.jsonl, line 2: expected text that UTF-8 can hold; found half of a surrogate pair. Correct the escape in the "
        "text."
    )
    with pytest.raises(
        DataError, match="the DataFrame, column 'a': expected text that UTF-8 can hold"
    ):
        from_frame(
            pd.DataFrame({"a": pd.Series(["\ud83d", 1], dtype=object), "y": [0, 1]}),
            Data(source="f", target="y"),
            None,
        )


def test_bad_parquet(refused: Refused, tmp_path: Path) -> None:
    assert refused(b"PAR1 this is not one", "t.parquet").startswith(
        "t.parquet: expected a Parquet file; found "
    )
    assert refused(parquet({"y": pa.array([], pa.float64())}), "t.parquet") == (
        "t.parquet: expected rows; found none. Check the export."
    )
    assert refused(parquet({"a": [[1], [2]], "y": ["p", "q"]}), "t.parquet").startswith(
        "t.parquet, column 'a': expected numbers, text, booleans or dates; found nested values (list<"
    )
    of_bytes = parquet({"a": [b"1", b"2"], "y": ["p", "q"]})
    expected = "column 'a': expected numbers, text, booleans, dates, or files such as images; found bytes of another kind"
    assert expected in refused(of_bytes, "t.parquet")
    assert (
        "column 'a': expected numbers, text, booleans or dates; found the type (bytes)"
        in refused(of_bytes, "t.parquet", target="a")
    )
    assert "t.parquet, row 2, column 'a': expected a finite number; found inf." in refused(
        parquet({"a": [1.0, np.inf], "y": ["p", "q"]}), "t.parquet"
    )
    assert "expected a number; found a column of dates (date32[day])" in refused(
        parquet({"a": pa.array([1, 2], pa.date32()), "y": ["p", "q"]}),
        "t.parquet",
        types={"a": "number"},
    )
    assert "row 2, column 'a': expected true or false (or 1 and 0); found 2." in refused(
        parquet({"a": [1, 2], "y": ["p", "q"]}), "t.parquet", types={"a": "boolean"}
    )
    assert (
        "row 2, column 'a': expected a date such as 2026-11-23 or 2026-11-23T15:20:00Z, of the years 1 to 9999"
        in refused(parquet({"a": [1, 1e15], "y": ["p", "q"]}), "t.parquet", types={"a": "date"})
    )


def parquet(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("key", ["group", "time"])
def test_group_and_time_in_every_row(refused: Refused, key: str) -> None:
    assert refused("a,g,y\n1,5,p\n2,,q\n3,6,q\n", **{key: "g"}) == (
        f"t.csv, line 3, column 'g': expected a value in every row, as it is data.{key}; found a missing one. Add it, or "
        "drop the row."
    )


def test_a_time_is_numbers_or_dates(refused: Refused) -> None:
    assert "t.csv, line 2, column 'b': expected a date such as" in refused(GOOD, time="b")


def test_bad_frames() -> None:
    section = Data(source="frame", target="y")

    def refuse(frame: Any) -> str:
        with pytest.raises(DataError) as error:
            from_frame(frame, section, None)
        return str(error.value)

    assert (
        refuse([1])
        == "the table: expected a pandas DataFrame; found a list. Put it into pd.DataFrame(…)."
    )
    assert (
        refuse(pd.DataFrame({"y": []}))
        == "the DataFrame: expected rows; found none. Give a table that holds rows."
    )
    assert "'y' as columns 1 and 2" in refuse(pd.DataFrame([[1, 2]], columns=["y", "y"]))
    assert "'1' as columns 1 and 2" in refuse(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    assert refuse(pd.DataFrame({"a": [1, object()], "y": [0, 1]})) == (
        "the DataFrame, row 2, column 'a': expected a number, text, boolean or date; found a object. Convert the column, "
        "or leave it out."
    )
    assert "column 'a': expected numbers, text, booleans or dates; found nested values" in refuse(
        pd.DataFrame({"a": [[1], [2]], "y": [0, 1]})
    )
    assert "the DataFrame, row 2, column 'a': expected a finite number; found -inf" in refuse(
        pd.DataFrame({"a": [1, -np.inf], "y": [0, 1]})
    )


@pytest.mark.parametrize(
    "cell", ["1,5", "-0,25", "1.234,56", "1 234,5", "1'234,5", "1,234,567.8", "12,345"]
)
def test_numbers_with_commas_are_never_taken_silently_for_words(
    refused: Refused, tmp_path: Path, cell: str
) -> None:
    """Excel in much of Europe writes them; as categories, or as identifiers, they would be lost."""
    rows = [f"{i},{i % 10};{cell if i == 3 else f'{i * 7},{i % 7}'};{i % 5}" for i in range(40)]
    text = "a;b;y\n" + "\n".join(rows) + "\n"
    dataset = table(tmp_path, text, separator=";")
    assert [dataset.table.columns[name].kind for name in "ab"] == ["category", "category"]
    for name, warning in zip("ab", dataset.warnings[:2], strict=True):
        assert (
            f"{tmp_path}/t.csv, line 2, column '{name}': '0,0' is a number with marks (a decimal ','"
            in warning
        )
        assert warning.endswith(f"or data.types: {{{name}: category}} if these are no numbers.")
        assert f'Say data.read: {{columns: {{{name}: {{decimal: ","' in warning
    asked = {"separator": ";", "types": {"b": "number"}}
    message = refused("a;b;y\n" + rows[3] + "\n" + rows[4] + "\n", **asked)
    remedy = (
        "Correct it, add" if cell == "1,234,567.8" else "Say data.read: {columns: {b: {"
    )  # 28,4 beside it: another decimal
    assert f"t.csv, line 2, column 'b': expected a number; found {cell!r}. {remedy}" in message
    message = refused(text, separator=";", target="b")
    assert (
        "line 2, column 'b': expected a number; found '0,0'. Say data.read: {columns: {b: {decimal:"
        in message
    )
    assert (
        table(tmp_path, text, separator=";", types={"a": "category", "b": "category"}).warnings
        == ()
    )


@pytest.mark.parametrize("cell", ["1,5,2", "a,b", "192.168.100.200", "1,,5", ",", "12,34,567"])
def test_what_is_no_number_with_commas(tmp_path: Path, cell: str) -> None:
    dataset = table(
        tmp_path, "a;y\n" + "".join(f"{cell};{'pq'[i % 2]}\n" for i in range(40)), separator=";"
    )
    assert dataset.table.columns["a"].kind == "category"
    assert dataset.warnings == ()


def test_texts_that_do_not_repeat_are_no_classes(refused: Refused, tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i},name {i} of {i * i} words or more\n" for i in range(40))
    assert refused(text) == (
        "t.csv, column 'y': expected a target of numbers, or of classes with several rows each; found 40 different texts in "
        "40 rows. Choose another data.target, or say task: classification if these are classes."
    )
    assert (
        len(load(Data(source="t.csv", target="y"), "classification", tmp_path).target.classes) == 40
    )
    half = "a,y\n" + "".join(f"{i},name {i // 2}\n" for i in range(40))
    assert len(table(tmp_path, half).target.classes) == 20


def test_a_time_that_is_none_is_told_as_the_time(refused: Refused) -> None:
    remedy = "Correct it, or name a column of dates or numbers in data.time."
    assert refused(GOOD, time="b") == (
        f"t.csv, line 2, column 'b': expected a date such as 2026-11-23 or 2026-11-23T15:20:00Z, of the years 1 to 9999, "
        f"as it is data.time; found 'x'. {remedy}"
    )
    assert refused(
        '{"a": true, "b": 1, "y": "p"}\n{"a": false, "b": 2, "y": "q"}\n', "t.jsonl", time="a"
    ) == (
        f"t.jsonl, column 'a': expected a date, as it is data.time; found a column of booleans (bool). {remedy}"
    )
