"""A long text in pieces, so that some of it can be held out; it need not be in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

PIECE: Final = 2_000  # characters of a piece, about: half a page; guessed
LONGEST: Final = 2  # times a piece's characters, before it is cut where no line is empty
_BLANK = re.compile(r"\n[ \t\r]*\n")
_OPEN = re.compile(r"\n[ \t\r]*\Z")  # may go on as an empty line


def pieces(text: str, length: int) -> list[str]:
    """`text` in parts of about `length` characters: whole paragraphs, without empty lines around
    them; a paragraph that is much longer is cut at the end of a line, or, where it has none, anywhere.
    """
    return list(streamed_pieces([text], length))


def streamed_pieces(blocks: Iterable[str], length: int) -> Iterator[str]:
    """The same of a text that comes in blocks; a block and a piece are held at most."""
    for part in _parts(blocks, length):
        piece = part.strip("\r\n")
        if piece.strip():
            yield piece


def _parts(blocks: Iterable[str], length: int) -> Iterator[str]:
    """All of the text: each part from the end of one empty line to that of another."""
    lines, held, at, start = _EmptyLines(), "", 0, 0  # held: from character `at` on
    for block in blocks:
        held, first = held + block, 0
        for stop in lines.ends(block):
            if stop - start >= length:
                yield from _cut(held[first : stop - at], length)
                first, start = stop - at, stop
        held, at = held[first:], at + first
        *parts, held = _cut(held, length)  # whatever follows, these end here
        at += sum(map(len, parts))
        yield from parts
    yield held


@dataclass
class _EmptyLines:
    """`done`: characters that were looked at; `begun`: a line end that may begin an empty line, or ''."""

    done: int = 0
    begun: str = ""

    def ends(self, block: str) -> list[int]:
        """Behind which characters of all text empty lines end that end in this block."""
        text = self.begun + block
        before = self.done - len(self.begun)
        found = [match.end() for match in _BLANK.finditer(text)]
        self.done += len(block)
        self.begun = "\n" if _OPEN.search(text, found[-1] if found else 0) else ""
        return [before + end for end in found]


def _cut(text: str, length: int) -> list[str]:
    """In parts of at most LONGEST times `length` characters."""
    found, first = list[str](), 0
    while len(text) - first > LONGEST * length:
        low, high = first + length // 2, first + length
        at = text.rfind("\n", low, high) + 1 or text.rfind(" ", low, high) + 1 or high
        found.append(text[first:at])
        first = at
    return [*found, text[first:]]
