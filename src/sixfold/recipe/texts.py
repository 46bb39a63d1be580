"""What a model takes of a column of text: written by the fit on training rows, read by training and serving alike."""

from __future__ import annotations

import math
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sixfold.core.texts import GramReader, Grams, TextForm, hashed
from sixfold.recipe.encoded import EncodedInput
from sixfold.recipe.section import Section

MOST_TERMS: Final = 1 << 18  # of one column: a row of features is as long; guessed
LONGEST_READ: Final = 10_000_000  # characters
IntArray = npt.NDArray[np.signedinteger[Any]]
FloatArray = npt.NDArray[np.float64]


class TermWeights(Section):
    """The n-grams of a text that are features, and what each is worth.

    A term that occurs c times is worth c, or 1 + ln c; times ln((1 + n) / (1 + d)) + 1, where n is `texts` and d how many of them
    hold the term (`rows`); the features of a text then have Euclidean norm 1. As scikit-learn's TfidfVectorizer.
    """

    unicode: Literal["NFKC", "NFC", "none"] = Field("NFKC", description="Unicode form that texts are brought into.")
    case: Literal["fold", "keep"] = Field("fold", description="Whether upper and lower case are one.")
    longest: int = Field(ge=1, le=LONGEST_READ, description="Characters of a text that are read.")
    unit: Literal["words", "characters", "characters_in_words"]
    low: int = Field(ge=1, le=20, description="Units of the shortest n-gram.")
    high: int = Field(ge=1, le=20, description="Units of the longest n-gram.")
    sublinear: bool = Field(description="1 + ln(count) instead of the count.")
    unit_norm: bool = Field(description="Whether a text's features have Euclidean norm 1.")
    terms: tuple[str, ...] = Field((), max_length=MOST_TERMS, description="The n-grams, sorted; none where hashed.")
    hashed: int = Field(0, ge=0, le=MOST_TERMS, description="Places that n-grams are dealt to by a hash; 0: none.")
    texts: int = Field(0, ge=0, description="Training texts; 0 where all terms weigh the same.")
    rows: tuple[int, ...] = Field((), max_length=MOST_TERMS, description="Of each place, the texts that hold it.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.terms) == bool(self.hashed):
            raise ValueError("one of terms and hashed")
        if self.high < self.low:
            raise ValueError("high below low")
        if len(self.rows) != (self.size if self.texts else 0) or not all(0 <= held <= self.texts for held in self.rows):
            raise ValueError("rows that are not one for each term, from 0 to texts")
        return self

    @property
    def size(self) -> int:
        """Features."""
        return self.hashed or len(self.terms)

    def grams(self) -> GramReader:
        """From a text to the places of its n-grams."""
        form, grams = TextForm(self.unicode, self.case, self.longest), Grams(self.unit, self.low, self.high)
        if self.hashed:
            return GramReader(form, grams, hashed(self.hashed))
        return GramReader(form, grams, {term: place for place, term in enumerate(self.terms)}.get)

    def weights(self) -> FloatArray:
        """[features]."""
        if not self.texts:
            return np.ones(self.size)
        return np.asarray(np.log((1.0 + self.texts) / (1.0 + np.array(self.rows, dtype=np.float64))) + 1.0)


class TermReader:
    """From a text to the features that are not 0: what training and serving call."""

    def __init__(self, terms: TermWeights) -> None:
        self.size, self._grams, self._weights = terms.size, terms.grams(), terms.weights()
        self._unit_norm, self._sublinear = terms.unit_norm, terms.sublinear

    def read(self, text: str) -> tuple[IntArray, FloatArray]:
        """Places, sorted, each once, and the values there; none of '' (missing), and of a text without any known term."""
        places, counts = _counted(np.frombuffer(self._grams.numbers(text), dtype=np.intc))
        values = (1.0 + np.log(counts) if self._sublinear else counts) * self._weights[places]
        if self._unit_norm and len(values):
            values /= math.sqrt(values @ values)
        return places, values


def _counted(numbers: IntArray) -> tuple[IntArray, FloatArray]:
    """The distinct numbers, sorted, and how often each occurs: what np.unique gives, in less time of few numbers."""
    if not len(numbers):
        return numbers, np.empty(0)
    ordered = np.sort(numbers)
    changes = (ordered[1:] != ordered[:-1]).nonzero()[0]
    bounds = np.empty(len(changes) + 2, dtype=np.intp)
    bounds[0], bounds[-1] = 0, len(ordered)
    bounds[1:-1] = changes + 1
    return ordered[bounds[:-1]], (bounds[1:] - bounds[:-1]).astype(np.float64)


class TextInput(EncodedInput):
    """One input of the graph that is made of a column of text: its terms, part by part, as one row of features."""

    terms: tuple[TermWeights, ...]

    @property
    def cells(self) -> int:
        """Features."""
        return sum(part.size for part in self.terms)
