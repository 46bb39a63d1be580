"""A folder of texts: one `.txt` file an example, one subfolder a class."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.core.encoding import BYTE_ORDER, UTF8
from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

ENDING: Final = ".txt"
TEXT, LABEL = "text", "label"
HELD: Final = (
    3  # times its bytes that a text takes while it is read: as bytes, as str, as a column; derived
)
SHOWN: Final = 3  # files named in a warning


class _UnreadableError(Exception):
    """Says what a file holds instead of text."""


class Settings(Section):
    """Texts of a folder: a column `text`, and where there are subfolders a column `label` with the
    name of each file's.

    Files that end in .txt, in the order of their names; further folders within a subfolder belong
    to its class.
    """

    endings: ClassVar[frozenset[str]] = frozenset({ENDING})

    path: Path = Field(description="The folder.")
    encoding: str | None = Field(
        None, description="A codec of Python. Left out: UTF-8, or by a byte order mark."
    )
    skip: bool = Field(
        False,
        description="Whether files that are no text are left out and counted, instead of refused.",
    )

    @classmethod
    def of_folder(cls, path: Path, data: Data) -> Self:
        """The folder, with what the recipe says about its files."""
        return cls(path=path, encoding=data.read.encoding, skip=data.read.unreadable == "skip")

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All texts. Raises DataError with the name of a file that is none, BudgetError where they
        take too much.
        """
        labelled = self._files()
        needed = HELD * sum(file.lstat().st_size for _, file in labelled)
        (memory or MemoryLimit.of(None)).plan(str(self.path), f"{len(labelled):,} texts", needed)
        texts, labels, kept, skipped = list[str](), list[str](), list[Path](), list[str]()
        for label, file in labelled:
            try:
                texts.append(self._text(file))
            except _UnreadableError as problem:
                if not self.skip:
                    raise self._refused(file, str(problem)) from None
                skipped.append(f"{file.relative_to(self.path)} ({problem})")
                continue
            labels.append(label)
            kept.append(file)
        if not kept:
            raise DataError(
                str(self.path), "files that hold text", "none", "Look at the first of them."
            )
        columns = {TEXT: pa.chunked_array([pa.array(texts, pa.large_string())])}
        if any(labels):
            columns[LABEL] = pa.chunked_array([pa.array(labels, pa.string())])
        return Raw(
            columns,
            len(kept),
            str(self.path),
            lambda row: str(kept[row].name),
            warnings=_warnings(skipped),
        )

    def _files(self) -> list[tuple[str, Path]]:
        """Class ('' without subfolders) and file. Raises DataError for a folder that mixes both, or
        holds no text.
        """
        own = sorted(self._below(self.path, deep=False))
        folders = sorted(
            path for path in self.path.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
        labelled = [
            (folder.name, file)
            for folder in folders
            for file in sorted(self._below(folder, deep=True))
        ]
        if own and labelled:
            raise DataError(
                str(self.path),
                "texts in subfolders, or none in subfolders",
                f"both ({own[0].name})",
                "Move the files beside the subfolders into one of them.",
            )
        empty = next(
            (
                folder
                for folder in folders
                if not any(label == folder.name for label, _ in labelled)
            ),
            None,
        )
        if labelled and empty is not None:
            raise DataError(
                str(empty),
                f"files that end in {ENDING}",
                "none",
                "Remove the folder, or add texts.",
            )
        if not own and not labelled:
            some = sorted({path.suffix for path in self.path.rglob("*") if path.is_file()})
            raise DataError(
                str(self.path),
                f"files that end in {ENDING}, one subfolder a class",
                "none",
                did_you_mean(ENDING, some) if some else "The folder is empty.",
            )
        return labelled or [("", file) for file in own]

    def _below(self, folder: Path, deep: bool) -> Iterator[Path]:
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if deep and not name.startswith(".")]
            yield from (
                Path(place, name)
                for name in names
                if name.lower().endswith(ENDING) and name[0] != "."
            )

    def _text(self, file: Path) -> str:
        """Raises _UnreadableError."""
        if not file.is_file():
            raise _UnreadableError("no plain file")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise _UnreadableError((error.strerror or "an error").lower()) from None
        marked = next((name for mark, name in BYTE_ORDER if content.startswith(mark)), None)
        encoding = marked or codecs.lookup(self.encoding or UTF8).name
        if encoding == UTF8 and b"\0" in content:
            raise _UnreadableError("a zero byte: a binary file")
        try:
            return content.decode("utf-8-sig" if encoding == UTF8 else encoding)
        except UnicodeDecodeError as error:
            found = f"the byte 0x{content[error.start]:02X} at {error.start:,}"
            raise _UnreadableError(
                f"{found}, which is no {'UTF-8' if encoding == UTF8 else encoding}"
            ) from None

    def _refused(self, file: Path, problem: str) -> DataError:
        return DataError(
            str(file),
            "a file of text",
            problem,
            "Correct or remove it; say data.read: {encoding: cp1252}, or what else it is written in; or leave such files out "
            "with data.read: {unreadable: skip}.",
        )


def _warnings(skipped: list[str]) -> tuple[str, ...]:
    if not skipped:
        return ()
    named = ", ".join(skipped[:SHOWN]) + (", …" if len(skipped) > SHOWN else "")
    one = len(skipped) == 1
    return (f"{len(skipped):,} {'file is' if one else 'files are'} no text and left out: {named}.",)
