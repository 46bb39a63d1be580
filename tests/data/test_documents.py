"""Texts for a language model: a file is cut at empty lines and loses nothing, a folder's files are
documents, a column is chosen.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core.errors import BudgetError, DataError, RecipeError
from sixfold.core.memory import MemoryLimit
from sixfold.data import source
from sixfold.data import test_rows as second_file
from sixfold.data.load import load
from sixfold.data.pieces import LONGEST, pieces, streamed_pieces
from sixfold.data.source import find
from sixfold.data.sources import jsonl, parquet
from sixfold.parts.stored_texts import StoredTexts
from sixfold.recipe.schema import Data

PARAGRAPH = "A line of some words.\nAnd another one, that follows it.\n"


def texts(folder: Path, source: str) -> list[str]:
    return find(Data(source=source), folder, "generation").read().columns["text"].to_pylist()  # type: ignore[no-any-return]


@given(st.text(st.sampled_from("ab \n"), max_size=400), st.integers(5, 60))
def test_nothing_is_lost_and_no_piece_is_long(text: str, length: int) -> None:
    found = pieces(text, length)
    assert "".join(found).replace("\n", "").replace(" ", "") == text.replace("\n", "").replace(
        " ", ""
    )
    assert all(part.strip() for part in found)
    assert all(len(part) <= LONGEST * length + length for part in found)


@given(
    st.lists(st.text(st.sampled_from("ab \n\r\t"), min_size=1, max_size=30), max_size=20),
    st.integers(1, 40),
)
def test_blocks_of_a_text_are_cut_as_the_whole_text(blocks: list[str], length: int) -> None:
    assert list(streamed_pieces(blocks, length)) == pieces("".join(blocks), length)


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of some rows, as of a large file."""
    monkeypatch.setattr(jsonl, "CHUNK", 3)
    monkeypatch.setattr(parquet, "STEP_ROWS", 3)
    monkeypatch.setattr(source, "PART_TEXTS", 3)


ROWS = [
    {"title": "t", "body": f"  row {n % 7} ", "who": f"w{n % 3}", "when": 1.5 * n}
    for n in range(20)
]


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_rows_in_parts_are_the_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    rows = [{**row, "body": "?" if n == 4 else row["body"]} for n, row in enumerate(ROWS)]
    if ending == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("\n\n".join(map(json.dumps, rows)))
    else:
        lines = [",".join(map(str, row.values())) for row in rows]
        path.write_text("\n".join([",".join(ROWS[0]), *lines]))
    data = Data(source=path.name, types={"body": "text"}, group="who", time="when", missing=("?",))
    found = load(data, "generation", tmp_path)
    column = found.table.columns["body"]
    assert isinstance(column.levels, StoredTexts)
    assert list(column.strings()) == [str(row["body"]).strip() for row in ROWS if row != ROWS[4]]
    assert list(column.levels) == [f"row {n}" for n in (0, 1, 2, 3, 5, 6, 4)]
    assert found.groups is not None and found.times is not None
    assert found.times.tolist() == [row["when"] for row in ROWS if row != ROWS[4]]
    assert len(np.unique(found.groups)) == 3
    place = {"jsonl": "line 9", "parquet": "row 5", "csv": "line 6"}[ending]
    assert any(
        f"1 row has no target and is left out; the first is {place}." in note
        for note in found.notes
    )
    assert any("1 column with '?' read as missing" in note for note in found.notes)


@pytest.mark.usefixtures("few_at_once")
def test_a_column_that_comes_late_is_found(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"note": "n"}] * 7 + [
        {"note": "n", "text": "late", "who": "a"}
    ] * 2
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = load(Data(source="t.jsonl"), "generation", tmp_path)
    assert list(found.table.columns["text"].strings()) == ["late", "late"]
    with pytest.raises(DataError, match=r"line 1, column 'who'.*a value in every row"):
        load(Data(source="t.jsonl", group="who"), "generation", tmp_path)


@pytest.mark.usefixtures("few_at_once")
def test_what_is_wrong_in_a_later_part_is_told_by_its_line(tmp_path: Path) -> None:
    good = '{"text": "fine"}\n' * 8
    for bad, told in (("{", "line 9"), ('{"text": ["a"]}', "line 9, column 'text'")):
        (tmp_path / "t.jsonl").write_text(good + bad)
        with pytest.raises(DataError, match=told):
            load(Data(source="t.jsonl"), "generation", tmp_path)
    chat = json.dumps({"prompt": "why", "completion": "because"}) + "\n"
    (tmp_path / "c.jsonl").write_text(chat * 8 + '{"prompt": "why", "completion": ""}')
    with pytest.raises(DataError, match="line 9, completion"):
        load(Data(source="c.jsonl"), "generation", tmp_path)


@pytest.mark.usefixtures("few_at_once")
def test_a_second_file_is_on_disk_too(tmp_path: Path) -> None:
    for name, start in (("a", 0), ("b", 100)):
        lines = [json.dumps({"content": f"document {start + n // 2}"}) for n in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    section = Data(source="a.jsonl", test="b.jsonl", holdout=0)
    training, held_out = second_file.load(section, "generation", tmp_path)
    assert list(training.table.columns["content"].strings())[::2] == [
        f"document {n}" for n in range(6)
    ]
    assert list(held_out.table.columns["content"].strings())[::2] == [
        f"document {n}" for n in range(100, 106)
    ]


def test_a_file_is_cut_between_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeff" + (PARAGRAPH + "\n") * 200)
    found = texts(tmp_path, "a.txt")
    assert all(part.startswith("A line") and part.endswith("follows it.") for part in found)
    assert 2_000 <= len(found[0]) <= 2_000 + 2 * len(PARAGRAPH)
    raw = find(Data(source="a.txt"), tmp_path, "generation").read()
    assert raw.place(1) == "a.txt, piece 2"
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write((tmp_path / "a.txt").read_bytes())
    assert texts(tmp_path, "b.txt.gz") == found
    assert texts(tmp_path, "documents:a.txt") == found


def test_files_of_a_folder_are_documents_or_cut_where_they_are_few(tmp_path: Path) -> None:
    for number in range(24):
        place = tmp_path / "many" / f"part{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:02}.txt").write_text(f"  number {number}\r\nends here\n\n")
    (tmp_path / "many" / "picture.png").write_bytes(b"not read")
    (tmp_path / "many" / ".hidden.txt").write_text("not read")
    found = texts(tmp_path, "many")
    assert len(found) == 24
    assert "number 7\nends here" in found
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "book.md").write_text((PARAGRAPH + "\n") * 200)
    assert len(texts(tmp_path, "few")) > 4


def test_the_column_is_the_one_that_is_said_or_called_text(tmp_path: Path) -> None:
    rows = "".join(f'{{"id": {n}, "text": "document {n}", "lang": "en"}}\n' for n in range(30))
    (tmp_path / "t.jsonl").write_text(rows + '{"id": 30, "text": "", "lang": "en"}\n')
    found = load(Data(source="t.jsonl"), "generation", tmp_path)
    assert list(found.table.columns) == ["text"]
    assert found.table.rows == 30
    assert found.target.task == "generation"
    assert any("30 documents" in note for note in found.notes)
    assert any("1 row has no target" in note for note in found.notes)
    grouped = load(Data(source="t.jsonl", group="lang"), "generation", tmp_path)
    assert grouped.groups is not None
    with pytest.raises(RecipeError, match="one column of text for task: generation"):
        load(Data(source="t.jsonl", types={"id": "text", "lang": "text"}), "generation", tmp_path)


def test_what_is_no_text_is_told_by_its_file(tmp_path: Path) -> None:
    for name, content, text in (
        ("zero.txt", b"a\0b", "a zero byte: a binary file"),
        ("latin.txt", "na\u00efve".encode("latin-1"), "latin.txt"),
        ("blank.txt", b"  \n\n ", "files that hold text; found none"),
        ("table.txt", b"PAR1....", "plain text; found Parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=text):
            texts(tmp_path, name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"files that end in \.txt, \.md"):
        texts(tmp_path, "empty")
    (tmp_path / "large.txt").write_text(PARAGRAPH * 9_000)
    with pytest.raises(BudgetError):
        find(Data(source="large.txt"), tmp_path, "generation").read(
            MemoryLimit(1_000_000, "a small one")
        )


def test_pythons_topics_come_in_pieces() -> None:
    raw = find(Data(source="python:topics"), Path(), "generation").read()
    found = raw.columns["text"].to_pylist()
    assert 150 < raw.rows < 1_000
    assert len(set(found)) == raw.rows
    assert any("for" in text and "iterable" in text for text in found)
