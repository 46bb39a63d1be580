"""A long text in pieces, so that some of it can be held out."""

from __future__ import annotations

import re
from typing import Final

PIECE: Final = 2_000  # characters of a piece, about: half a page; guessed
LONGEST: Final = 2  # times a piece's characters, before it is cut where no line is empty
_BLANK = re.compile(r"\n[ \t\r]*\n")


def pieces(text: str, length: int) -> list[str]:
    """`text` in parts of about `length` characters: whole paragraphs, without empty lines around
    them; a paragraph that is much longer is cut at the end of a line, or, where it has none, anywhere.
    """
    found, start, end = list[str](), 0, 0
    for stop in [*(match.end() for match in _BLANK.finditer(text)), len(text)]:
        end = stop
        if end - start >= length:
            found += _cut(text[start:end], length)
            start = end
    found += _cut(text[start:end], length)
    return [part for part in (one.strip("\r\n") for one in found) if part.strip()]


def _cut(text: str, length: int) -> list[str]:
    """In parts of at most LONGEST times `length` characters."""
    found = list[str]()
    while len(text) > LONGEST * length:
        at = text.rfind("\n", length // 2, length) + 1 or text.rfind(" ", length // 2, length) + 1
        at = at or length
        found.append(text[:at])
        text = text[at:]
    return [*found, text]
