"""How the tokens that a network writes become a text: written by training into the model's metadata."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from sixfold.recipe.section import Section

MOST_TOKENS: Final = 1 << 12  # of a text
MOST_PIECES: Final = 1 << 17  # of a vocabulary
LONGEST_PIECE: Final = 1 << 10  # bytes of one
LONGEST: Final = 1 << 16  # characters of a text


class TokenDecoder(Section):
    """Of every recording the network gives the numbers of `cells` tokens, of which those from `end` on
    count no more. `pieces`: of each token its bytes, as letters (`core.byte_letters`), or nothing. A text is
    cut after `longest` characters.
    """

    method: Literal["tokens"] = "tokens"
    cells: int = Field(ge=1, le=MOST_TOKENS)
    end: int = Field(ge=0, lt=MOST_PIECES)
    pieces: tuple[Annotated[str, Field(max_length=LONGEST_PIECE)], ...] = Field(
        min_length=1, max_length=MOST_PIECES
    )
    longest: int = Field(ge=1, le=LONGEST)
