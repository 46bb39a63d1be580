"""What a model takes of a column of text: written by the fit on training rows, read by training and
serving alike.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sixfold.core.texts import GramReader, Grams, TextForm, hashed
from sixfold.recipe.encoded import EncodedInput
from sixfold.recipe.section import Section

MOST_TERMS: Final = 1 << 18  # of one column: a row of features is as long; guessed
LONGEST_READ: Final = 10_000_000  # characters
MOST_PIECES: Final = 1 << 18  # of one vocabulary of tokens; multilingual ones have 250,000
LONGEST_ROW: Final = 2048  # tokens of one text
LONGEST_PIECE: Final = 512  # characters
# The letters that stand for the 256 bytes in pieces (Radford and others, 2019): those of Latin-1
# that can be seen are themselves, the others are shifted behind U+0100.
_SEEN: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
BYTE_LETTERS: Final = frozenset(map(chr, (*_SEEN, *range(0x100, 0x100 + 256 - len(_SEEN)))))
IntArray = npt.NDArray[np.signedinteger[Any]]
FloatArray = npt.NDArray[np.float64]


class TermWeights(Section):
    """The n-grams of a text that are features, and what each is worth.

    A term that occurs c times is worth c, or 1 + ln c; times ln((1 + n) / (1 + d)) + 1, where n is
    `texts` and d how many of them hold the term (`rows`); the features of a text then have
    Euclidean norm 1. As scikit-learn's TfidfVectorizer.
    """

    unicode: Literal["NFKC", "NFC", "none"] = Field(
        "NFKC", description="Unicode form that texts are brought into."
    )
    case: Literal["fold", "keep"] = Field(
        "fold", description="Whether upper and lower case are one."
    )
    longest: int = Field(ge=1, le=LONGEST_READ, description="Characters of a text that are read.")
    unit: Literal["words", "characters", "characters_in_words"]
    low: int = Field(ge=1, le=20, description="Units of the shortest n-gram.")
    high: int = Field(ge=1, le=20, description="Units of the longest n-gram.")
    sublinear: bool = Field(description="1 + ln(count) instead of the count.")
    unit_norm: bool = Field(description="Whether a text's features have Euclidean norm 1.")
    terms: tuple[str, ...] = Field(
        (), max_length=MOST_TERMS, description="The n-grams, sorted; none where hashed."
    )
    hashed: int = Field(
        0, ge=0, le=MOST_TERMS, description="Places that n-grams are dealt to by a hash; 0: none."
    )
    texts: int = Field(0, ge=0, description="Training texts; 0 where all terms weigh the same.")
    rows: tuple[int, ...] = Field(
        (), max_length=MOST_TERMS, description="Of each place, the texts that hold it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.terms) == bool(self.hashed):
            raise ValueError("one of terms and hashed")
        if self.high < self.low:
            raise ValueError("high below low")
        if len(self.rows) != (self.size if self.texts else 0) or not all(
            0 <= held <= self.texts for held in self.rows
        ):
            raise ValueError("rows that are not one for each term, from 0 to texts")
        return self

    @property
    def size(self) -> int:
        """Features."""
        return self.hashed or len(self.terms)

    def grams(self) -> GramReader:
        """From a text to the places of its n-grams."""
        form, grams = (
            TextForm(self.unicode, self.case, self.longest),
            Grams(self.unit, self.low, self.high),
        )
        if self.hashed:
            return GramReader(form, grams, hashed(self.hashed))
        return GramReader(form, grams, {term: place for place, term in enumerate(self.terms)}.get)

    def weights(self) -> FloatArray:
        """[features]."""
        if not self.texts:
            return np.ones(self.size)
        return np.asarray(
            np.log((1.0 + self.texts) / (1.0 + np.array(self.rows, dtype=np.float64))) + 1.0
        )


class TermReader:
    """From a text to the features that are not 0: what training and serving call."""

    def __init__(self, terms: TermWeights) -> None:
        self.size, self._grams, self._weights = terms.size, terms.grams(), terms.weights()
        self._unit_norm, self._sublinear = terms.unit_norm, terms.sublinear

    def read(self, text: str) -> tuple[IntArray, FloatArray]:
        """Places, sorted, each once, and the values there; none of '' (missing), and of a text
        without any known term.
        """
        places, counts = _counted(np.frombuffer(self._grams.numbers(text), dtype=np.intc))
        values = (1.0 + np.log(counts) if self._sublinear else counts) * self._weights[places]
        if self._unit_norm and len(values):
            values /= math.sqrt(values @ values)
        return places, values


def _counted(numbers: IntArray) -> tuple[IntArray, FloatArray]:
    """The distinct numbers, sorted, and how often each occurs: what np.unique gives, in less time
    of few numbers.
    """
    if not len(numbers):
        return numbers, np.empty(0)
    ordered = np.sort(numbers)
    changes = (ordered[1:] != ordered[:-1]).nonzero()[0]
    bounds = np.empty(len(changes) + 2, dtype=np.intp)
    bounds[0], bounds[-1] = 0, len(ordered)
    bounds[1:-1] = changes + 1
    return ordered[bounds[:-1]], (bounds[1:] - bounds[:-1]).astype(np.float64)


class TokenPieces(Section):
    """The pieces that a text is cut into, by what rules, and the row of numbers that it becomes:
    places in `pieces`.

    `byte_pairs`: the bytes of a word, joined by `merges` in their order (GPT-2's splitting into
    words); `word_pieces`: the longest piece first, those inside of a word with ## before them
    (BERT's splitting). No other rules are known here, so a description brings no pattern of its
    own.
    """

    kind: Literal["byte_pairs", "word_pieces"]
    unicode: Literal["NFKC", "NFC", "none"] = Field(
        description="Unicode form that texts are brought into."
    )
    case: Literal["fold", "keep"] = Field(description="Whether upper and lower case are one.")
    longest: int = Field(ge=1, le=LONGEST_READ, description="Characters of a text that are read.")
    accents: bool = Field(True, description="Of word_pieces: whether é and e are two letters.")
    pieces: tuple[Annotated[str, Field(max_length=LONGEST_PIECE)], ...] = Field(
        min_length=1, max_length=MOST_PIECES
    )
    merges: tuple[tuple[int, int], ...] = Field(
        (), max_length=MOST_PIECES, description="Places of two that become one."
    )
    unknown: int = Field(0, ge=0, description="Of word_pieces: the place of what is none of them.")
    before: tuple[int, ...] = Field(
        (), max_length=4, description="What stands before every text, such as [CLS]."
    )
    after: tuple[int, ...] = Field(
        (), max_length=4, description="What stands behind it, such as [SEP]."
    )
    padding: int = Field(0, ge=0, description="What fills a row up; no text has it.")
    length: int = Field(
        ge=1, le=LONGEST_ROW, description="Tokens of a row, with `before` and `after`."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        size = len(self.pieces)
        if len(set(self.pieces)) < size:
            raise ValueError("pieces that are not distinct")
        places = (
            self.unknown,
            self.padding,
            *self.before,
            *self.after,
            *itertools.chain(*self.merges),
        )
        if min(places) < 0 or max(places) >= size:
            raise ValueError("a place behind the last piece")
        if len(self.before) + len(self.after) >= self.length:
            raise ValueError("a row without a place for the text")
        if self.kind == "byte_pairs" and not self._has_bytes():
            raise ValueError("pieces that lack a byte, or what a merge makes")
        return self

    def _has_bytes(self) -> bool:
        """Whether every text can be cut: all 256 bytes are there, and what each merge makes."""
        known = set(self.pieces)
        made = {self.pieces[left] + self.pieces[right] for left, right in self.merges}
        return made <= known and known >= set(BYTE_LETTERS)


class TextInput(EncodedInput):
    """One input of the graph that is made of a column of text: its terms, part by part, as one row
    of features, or its tokens.
    """

    terms: tuple[TermWeights, ...] = ()
    tokens: TokenPieces | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.terms) == (self.tokens is not None):
            raise ValueError("one of terms and tokens")
        return self

    @property
    def cells(self) -> int:
        """Features."""
        return sum(part.size for part in self.terms) if self.tokens is None else self.tokens.length
