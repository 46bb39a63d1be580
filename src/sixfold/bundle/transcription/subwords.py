"""Which pieces of words spell a text, by their alphabet alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

SPACE: Final = " "  # begins every word of a text that pieces spell, the first one, too
NEVER: Final = 1 << 30


def has_pieces(alphabet: Iterable[str]) -> bool:
    """Whether its symbols are pieces of words, not characters."""
    return any(len(piece) > 1 and piece.startswith(SPACE) for piece in alphabet)


def pieces_of(word: str, places: Mapping[str, int]) -> list[str]:
    """Of a word with its space: of two neighbors that are a piece together, those become one whose place is the
    first, again and again. Characters that have no place stay.
    """
    pieces = list(SPACE + word)
    while len(pieces) > 1:
        joined = [one + other for one, other in itertools.pairwise(pieces)]
        at = min(range(len(joined)), key=lambda n: (places.get(joined[n], NEVER), n))
        if joined[at] not in places:
            break
        pieces[at : at + 2] = [joined[at]]
    return pieces
