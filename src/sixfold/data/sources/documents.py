"""Plain text to learn from: a file of it, cut into pieces, or a folder whose files are documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.core.units import counted
from sixfold.data.file import DataFile
from sixfold.data.pieces import PIECE, pieces
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

TEXT: Final = "text"
ENDINGS: Final = (".txt", ".md", ".rst", ".text")
MOST_PIECES: Final = 50_000  # of a file: a larger one has longer pieces; guessed
LEAST_FILES: Final = 20  # of a folder, so that each is one document; fewer are cut; guessed
HELD: Final = 4  # times its bytes that a text takes while it is read and cut; derived


class Settings(Section):
    """A column `text`. A file is cut at empty lines into pieces of about 2,000 characters, in order,
    so that some can be held out; longer parts are cut at the ends of lines. A folder's files (.txt,
    .md, .rst, .text, those of its subfolders, too) are one document each, or cut where they are few.
    """

    path: Path = Field(description="A file, or a folder; .gz and .zip are unpacked.")
    encoding: str | None = Field(
        None, description="A codec of Python. Left out: UTF-8, or by a byte order mark."
    )

    @classmethod
    def at(cls, path: Path, data: Data) -> Self:
        """The file or folder, in the recipe's encoding."""
        return cls(path=path, encoding=data.read.encoding)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All documents that are not empty. Raises DataError with the name of a file that is no text,
        BudgetError where they take too much.
        """
        files = self._files() if self.path.is_dir() else [self.path]
        limit = memory or MemoryLimit.of(None)
        size = sum(file.stat().st_size for file in files)
        limit.plan(str(self.path), f"{counted(len(files), 'file')} of text", HELD * size)
        cut = len(files) < LEAST_FILES
        length = max(PIECE, size // MOST_PIECES)
        found = list[str]()
        places = list[str]()
        for file in files:
            text = self._text(file, limit)
            own = pieces(text, length) if cut else [text.strip()]
            kept = [part for part in own if part]
            found += kept
            places += [
                file.name if not cut else f"{file.name}, piece {n + 1:,}" for n in range(len(kept))
            ]
        if not found:
            raise DataError(
                str(self.path), "files that hold text", "none", "Look at the first of them."
            )
        columns = {TEXT: pa.chunked_array([pa.array(found, pa.large_string())])}
        return Raw(columns, len(found), str(self.path), lambda row: places[row])

    def _files(self) -> list[Path]:
        found = sorted(self._below())
        if not found:
            raise DataError(
                str(self.path),
                f"files that end in {', '.join(ENDINGS)}",
                "none",
                "Name another folder, or a file.",
            )
        return found

    def _below(self) -> Iterator[Path]:
        for place, folders, names in os.walk(self.path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (
                Path(place, name)
                for name in names
                if name.lower().endswith(ENDINGS) and not name.startswith(".")
            )

    def _text(self, file: Path, limit: MemoryLimit) -> str:
        own = DataFile(file, self.encoding, limit)
        with own.open() as stream:
            disguise = own.disguise(stream)
        if disguise:
            raise DataError(str(file), "plain text", disguise, "Name the file by what it holds.")
        own.check_text()
        with own.text() as stream:
            content = stream.read()
        if b"\0" in content:
            raise DataError(
                str(file), "plain text", "a zero byte: a binary file", "Correct or remove it."
            )
        return content.decode("utf-8-sig").replace("\r\n", "\n")
