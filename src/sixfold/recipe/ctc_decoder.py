"""How the answers of a network for speech become a text: written by training into the model's metadata."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from sixfold.recipe.section import Section

DECODER: Final = "decoder"  # what it is called among a model's metadata
MOST_FRAMES: Final = 1 << 14  # of a recording
MOST_CHARACTERS: Final = 1 << 14  # of an alphabet
LONGEST_PIECE: Final = 16  # characters of an entry of an alphabet
MOST_NGRAMS: Final = 50_000  # of characters, that a decoder is given
WIDEST: Final = 256  # prefixes that a search keeps
END: Final = "\n"  # before the first character of a text, and behind its last one
Character = Annotated[str, Field(min_length=1, max_length=1)]
Piece = Annotated[str, Field(min_length=1, max_length=LONGEST_PIECE)]


class CtcDecoder(Section):
    """Of every recording the network gives [frames, 1 + symbols] numbers: of nothing (a blank), then of
    each symbol of `alphabet`, in its order: a character, or a piece of a word, the first one of which begins
    with a space. Frame t looks at `first_s` + t · `frame_s`, in seconds from the first sample.

    `ngrams`: what comes before → a character → how often it did in the training texts; END stands for a
    text's beginning and its end.
    """

    frames: int = Field(ge=1, le=MOST_FRAMES)
    alphabet: tuple[Piece, ...] = Field(min_length=1, max_length=MOST_CHARACTERS)
    first_s: float = Field(ge=0)
    frame_s: float = Field(gt=0)
    method: Literal["greedy", "beam"] = "greedy"
    width: int = Field(1, ge=1, le=WIDEST)
    language_weight: float = Field(0.0, ge=0, le=10)
    length_bonus: float = Field(0.0, ge=-10, le=10)
    ngrams: dict[str, dict[Character, Annotated[int, Field(ge=1)]]] = Field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Numbers of a frame."""
        return 1 + len(self.alphabet)

    @property
    def longest(self) -> int:
        """Characters that a text has at most."""
        return self.frames * max(map(len, self.alphabet))

    @property
    def cells(self) -> int:
        """Numbers of a recording."""
        return self.frames * self.outputs
