"""Plain text to learn from: a file of it, cut into pieces, or a folder whose files are documents."""

from __future__ import annotations

import codecs
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import Field

from sixfold.core.errors import DataError
from sixfold.core.memory import MemoryLimit
from sixfold.data.file import DataFile
from sixfold.data.pieces import PIECE, streamed_pieces
from sixfold.data.source import Raw, RawParts, parts_of_texts
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

TEXT: Final = "text"
ENDINGS: Final = (".txt", ".md", ".rst", ".text")
MOST_PIECES: Final = 50_000  # of a file: a larger one has longer pieces; guessed
LEAST_FILES: Final = 20  # of a folder, so that each is one document; fewer are cut; guessed
HELD: Final = 4  # times its bytes that a document takes while it is read; derived
BLOCK: Final = 1 << 20  # bytes of a file that is cut


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
        return self.stream(memory).whole()

    def stream(self, memory: MemoryLimit | None = None) -> RawParts:
        """The same, a few at a time."""
        files = self._files() if self.path.is_dir() else [self.path]
        pieces = _Documents(files, len(files) < LEAST_FILES)
        found = parts_of_texts(TEXT, self._documents(pieces, memory or MemoryLimit.of(None)))
        return RawParts(found, str(self.path), pieces.place)

    def _documents(self, found: _Documents, limit: MemoryLimit) -> Iterator[str]:
        sizes = [file.stat().st_size for file in found.files]
        length = max(PIECE, sum(sizes) // MOST_PIECES)
        if not found.cut:
            limit.plan(str(self.path), "the largest file of text", HELD * max(sizes))
        for file in found.files:
            limit.check(str(self.path))
            blocks = self._blocks(file, limit)
            texts = streamed_pieces(blocks, length) if found.cut else ["".join(blocks).strip()]
            found.counts.append(found.counts[-1])
            for text in filter(None, texts):
                found.counts[-1] += 1
                yield text
        if not found.counts[-1]:
            raise DataError(
                str(self.path), "files that hold text", "none", "Look at the first of them."
            )

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

    def _blocks(self, file: Path, limit: MemoryLimit) -> Iterator[str]:
        """A file's text, whose lines end in \\n alone, block by block."""
        own = DataFile(file, self.encoding, limit)
        with own.open() as stream:
            disguise = own.disguise(stream)
        if disguise:
            raise DataError(str(file), "plain text", disguise, "Name the file by what it holds.")
        own.check_text()
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with own.text() as stream:
            rest = ""
            while block := stream.read(BLOCK):
                if b"\0" in block:
                    raise DataError(
                        str(file),
                        "plain text",
                        "a zero byte: a binary file",
                        "Correct or remove it.",
                    )
                text = (rest + decoder.decode(block)).replace("\r\n", "\n")
                rest = "\r" if text.endswith("\r") else ""  # its \n may be the next
                yield text.removesuffix(rest)
            yield rest + decoder.decode(b"", final=True)


@dataclass
class _Documents:
    """What was read of `files`: `counts` of documents behind each; `cut`: whether they are pieces."""

    files: Sequence[Path]
    cut: bool
    counts: array[int] = field(default_factory=lambda: array("q", [0]))

    def place(self, row: int) -> str:
        """ "a.txt, piece 7" """
        file = bisect_right(self.counts, row) - 1
        piece = f", piece {row - self.counts[file] + 1:,}" if self.cut else ""
        return f"{self.files[file].name}{piece}"
