"""A folder of texts: one subfolder a class; what is no text is named, or left out and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixfold.core.errors import BudgetError, DataError
from sixfold.core.memory import MemoryLimit
from sixfold.data.load import load
from sixfold.data.source import find
from sixfold.recipe.schema import Data


def folder(tmp_path: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = tmp_path / "mails" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path


GOOD: dict[str, bytes | str] = {
    "ham/b.txt": "see you",
    "ham/a.txt": "\ufeffh\u00e9llo",
    "spam/2024/c.TXT": "win\nnow",
    "spam/empty.txt": "",
    "spam/notes.md": "not read",
    ".hidden/x.txt": "not read",
}


def read(base: Path, **more: object) -> dict[str, list[str]]:
    raw = find(Data.model_validate({"source": "mails", "target": "label", **more}), base).read()
    return {name: column.to_pylist() for name, column in raw.columns.items()}


def test_a_subfolder_is_a_class_and_files_come_by_name(tmp_path: Path) -> None:
    assert read(folder(tmp_path, GOOD)) == {
        "text": ["h\u00e9llo", "see you", "win\nnow", ""],
        "label": ["ham", "ham", "spam", "spam"],
    }


def test_texts_without_subfolders_have_no_label(tmp_path: Path) -> None:
    assert read(folder(tmp_path, {"a.txt": "one", "b.txt": "two"})) == {"text": ["one", "two"]}


def test_the_whole_way_to_a_dataset(tmp_path: Path) -> None:
    texts = {
        f"{name}/{n}.txt": f"{name} said number {n} of the many things"
        for n in range(15)
        for name in ("x", "y")
    }
    found = load(Data(source="mails", target="label"), None, folder(tmp_path, texts))
    assert found.table.columns["text"].kind == "text"
    assert found.target.classes == ("x", "y")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\xff\xfe\xff", "the byte 0xFF at 2, which is no utf-16"),
        (b"caf\xe9", "the byte 0xE9 at 3, which is no UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a zero byte: a binary file"),
    ],
)
def test_what_is_no_text_is_named_or_left_out(tmp_path: Path, content: bytes, found: str) -> None:
    base = folder(tmp_path, {**GOOD, "ham/bad.txt": content})
    with pytest.raises(DataError) as error:
        read(base)
    assert error.value.where.endswith("bad.txt")
    assert error.value.found == found
    data = Data.model_validate(
        {"source": "mails", "target": "label", "read": {"unreadable": "skip"}}
    )
    raw = find(data, base).read()
    assert raw.rows == 4
    assert raw.warnings == (f"1 file is no text and left out: ham/bad.txt ({found}).",)


def test_another_encoding_can_be_said(tmp_path: Path) -> None:
    base = folder(tmp_path, {"a/1.txt": b"caf\xe9", "b/2.txt": "\ufeffcafé".encode("utf-16-le")})
    assert read(base, read={"encoding": "cp1252"})["text"] == ["café", "café"]


@pytest.mark.parametrize(
    ("files", "expected", "found"),
    [
        (
            {"a.txt": "x", "b/c.txt": "y"},
            "texts in subfolders, or none in subfolders",
            "both (a.txt)",
        ),
        ({"a/b.txt": "x", "c/d.md": "y"}, "files that end in .txt", "none"),
        (
            {"a/b.md": "x"},
            "a file, or a folder of files that end in .bmp, .flac, .gif, .jpeg, .jpg, .mp3, .oga, "
            ".ogg, .png, .tif, .tiff, .txt, .wav, .webp",
            ".md",
        ),
    ],
)
def test_folders_that_are_none(
    tmp_path: Path, files: dict[str, bytes | str], expected: str, found: str
) -> None:
    with pytest.raises(DataError) as error:
        read(folder(tmp_path, files))
    assert (error.value.expected, error.value.found) == (expected, found)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected files that hold text; found none"):
        read(folder(tmp_path, {"a/b.txt": b"\0"}), read={"unreadable": "skip"})


def test_more_than_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    base = folder(tmp_path, {"a/b.txt": b"x" * 1_000_000, "c/d.txt": b"y"})
    with pytest.raises(BudgetError):
        find(Data(source="mails", target="label"), base).read(
            MemoryLimit(MemoryLimit.of(None).held() + 1000, "budget.memory")
        )
