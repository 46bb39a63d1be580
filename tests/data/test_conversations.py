"""Files of conversations: JSON lines and Parquet, packed or not, with the line of what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from sixfold.core.errors import DataError
from sixfold.data.load import load
from sixfold.data.source import Raw
from sixfold.data.sources.conversations import Settings
from sixfold.parts.conversation import COLUMN, Completion, Conversation, read_text
from sixfold.recipe.schema import Data

CHAT = {
    "messages": [
        {"role": "user", "content": "Hello ü"},
        {"role": "assistant", "content": "Hi"},
    ]
}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(path: Path, **options: Any) -> Raw:
    return Settings.at(path, Data(source=str(path), **options)).read()


def test_json_lines(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", CHAT, {"prompt": "2 + 2 =", "completion": " 4"})
    raw = read(path)
    assert list(raw.columns) == [COLUMN]
    first, second = (read_text(text) for text in raw.columns[COLUMN].to_pylist())
    assert isinstance(first, Conversation)
    assert second == Completion("2 + 2 =", " 4")
    assert (raw.rows, raw.place(1)) == (2, "line 2")
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed).columns == raw.columns


def test_parquet_whose_messages_have_no_keys_of_their_own(tmp_path: Path) -> None:
    """A column of structs: every message has all keys there, null where it has none."""
    path = tmp_path / "a.parquet"
    rows = [CHAT, {"messages": [*CHAT["messages"][:1], {**CHAT["messages"][1], "weight": 1}]}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    raw = read(path)
    assert len(set(raw.columns[COLUMN].to_pylist())) == 1
    assert raw.place(1) == "row 2"
    pa.parquet.write_table(pa.Table.from_pylist([CHAT, {"messages": []}]), path)
    with pytest.raises(
        DataError, match=r"a\.parquet, row 2, messages: expected a list of messages"
    ):
        read(path)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="expected a Parquet file"):
        read(path)


def test_what_is_wrong_has_its_line(tmp_path: Path) -> None:
    silent = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "weight": 0}]}
    with pytest.raises(DataError, match="line 3, messages: expected a message of the assistant to"):
        read(lines(tmp_path / "a.jsonl", CHAT, CHAT, silent))
    with pytest.raises(DataError, match=r"b\.jsonl: expected rows; found none"):
        read(lines(tmp_path / "b.jsonl"))
    (tmp_path / "c.jsonl").write_text(json.dumps(CHAT) + "\n{")
    with pytest.raises(DataError, match=r"c\.jsonl, line 2: expected one JSON object a line"):
        read(tmp_path / "c.jsonl")


def test_keys_that_are_not_looked_at(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {**CHAT, "id": 7})
    with pytest.raises(DataError, match=r"found 'id'. Remove it, or list it in data\.drop"):
        read(path)
    assert read(path, drop=("id",)).rows == 1


def test_a_file_is_known_by_its_first_row(tmp_path: Path) -> None:
    assert Settings.holds(lines(tmp_path / "a.jsonl", CHAT))
    assert not Settings.holds(lines(tmp_path / "b.jsonl", {"text": "x"}))
    assert not Settings.holds(lines(tmp_path / "c.csv", CHAT))
    assert not Settings.holds(tmp_path / "absent.jsonl")
    (tmp_path / "d.jsonl").write_text("{")
    assert not Settings.holds(tmp_path / "d.jsonl")
    pa.parquet.write_table(pa.Table.from_pylist([CHAT]), tmp_path / "e.parquet")
    assert Settings.holds(tmp_path / "e.parquet")


def test_preferences_stand_in_files_of_their_own(tmp_path: Path) -> None:
    better = {"prompt": "Q", "chosen": "yes", "rejected": "no"}
    assert read(lines(tmp_path / "a.jsonl", better, better)).rows == 2
    with pytest.raises(
        DataError, match="line 2: expected an example of another kind, as the rows b"
    ):
        read(lines(tmp_path / "b.jsonl", CHAT, better))
    with pytest.raises(
        DataError, match="line 2: expected a preference, as the rows before; found an"
    ):
        read(lines(tmp_path / "c.jsonl", better, CHAT))


def test_generation_finds_them_by_itself(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {**CHAT, "id": 1}, {**CHAT, "id": 2})
    dataset = load(Data(source="a.jsonl", drop=("id",)), "generation", tmp_path)
    assert list(dataset.table.columns) == [COLUMN]
    assert dataset.target.values[:, 2].tolist() == [2.0, 2.0]  # bytes of "Hi"
    assert any("2 examples, answers of 4 bytes" in note for note in dataset.notes)
