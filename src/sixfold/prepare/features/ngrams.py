"""N-grams of words and characters as features, weighted by how rare they are (TF-IDF).

Formulas as in scikit-learn's TfidfVectorizer with `smooth_idf`: a term that occurs c times in a
text is worth (1 + ln c) · (ln((1 + n) / (1 + d)) + 1), n being training texts and d those that hold
it; the features of a text have norm 1.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.sparse import csr_array, hstack

from sixfold.core.errors import DataError
from sixfold.core.texts import LONGEST, GramReader, Grams, TextForm, Unit, hashed
from sixfold.parts.fit import FeatureKind
from sixfold.parts.state import State
from sixfold.parts.table import IntArray
from sixfold.prepare.step import FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section
from sixfold.recipe.texts import LONGEST_READ, MOST_TERMS, TermReader, TermWeights, TextInput

BLOCK: Final = 4096  # texts whose n-grams are held at once


@dataclass(frozen=True)
class NGrams(State):
    """`parts`: what is counted, and what each is worth; their features stand side by side. `grows`:
    further texts bring more.
    """

    grows: ClassVar[bool] = True
    parts: tuple[TermWeights, ...]

    @property
    def kind(self) -> FeatureKind:
        """Each has a meaning of its own."""
        return "numbers"

    def described(self, column: str) -> TextInput:
        """For the encoder of texts."""
        return TextInput(name="text_0", column=column, terms=self.parts)

    def transform(self, texts: Sequence[str]) -> csr_array:
        """Texts, '' for a missing one, → [rows, features] float64."""
        found = [_features(texts, TermReader(part)) for part in self.parts]
        return found[0] if len(found) == 1 else csr_array(hstack(found, format="csr"))

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`body has 'free'`, `body spells 'fre'`, or `body words hash 17`."""
        found: list[str] = []
        for part in self.parts:
            what = "has" if part.unit == "words" else "spells"
            found += [f"{names[0]} {what} {term!r}" for term in part.terms]
            found += [f"{names[0]} {part.unit} hash {place}" for place in range(part.hashed)]
        return tuple(FittedFeatures(name, 0) for name in found)


class Settings(Section):
    """N-grams of words and of characters within words, weighted by how rare they are: for texts in
    any language that puts spaces between words; for others leave `words` out. Words are letters,
    digits and marks; punctuation counts.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"text"})
    role: ClassVar[Role] = "change"

    words: tuple[int, int] | None = Field(
        (1, 2), description="Words of the shortest and the longest n-gram."
    )
    characters: tuple[int, int] | None = Field(
        (2, 4), description="Characters of the shortest and the longest n-gram."
    )
    across_words: bool = Field(
        False, description="Whether n-grams of characters run from one word into the next."
    )
    unicode: Literal["NFKC", "NFC", "none"] = Field(
        "NFKC", description="Unicode form that texts are brought into."
    )
    case: Literal["fold", "keep"] = Field(
        "fold", description="Whether upper and lower case are one."
    )
    longest: int = Field(
        LONGEST, ge=1, le=LONGEST_READ, description="Characters of a text that are read."
    )
    features: int = Field(
        30_000, ge=2, le=MOST_TERMS, description="N-grams that are counted: those of most texts."
    )
    min_rows: int = Field(2, ge=1, description="Training texts that an n-gram has to occur in.")
    hashed: bool = Field(
        False,
        description="Deal n-grams to `features` places by a hash: nothing is learned but weights.",
    )
    weight: Literal["idf", "none"] = Field(
        "idf", description="idf: n-grams of fewer texts weigh more."
    )
    sublinear: bool = Field(True, description="1 + ln(count) instead of the count.")
    unit_norm: bool = Field(
        True,
        description="Scale each text's features to Euclidean norm 1, words and characters apart.",
    )

    @model_validator(mode="after")
    def _something(self) -> Settings:
        if self.words is None and self.characters is None:
            raise ValueError("words, or characters, or both")
        for sizes in (self.words, self.characters):
            if sizes is not None and not 1 <= sizes[0] <= sizes[1] <= 20:
                raise ValueError("two sizes from 1 to 20, the smaller one first")
        return self

    def fit(self, texts: Sequence[str], training: Training) -> NGrams:
        """Vocabulary and weights of the training texts. Raises DataError where no n-gram occurs
        often enough.
        """
        unit: Unit = "characters" if self.across_words else "characters_in_words"
        asked = [Grams("words", *self.words)] if self.words else []
        asked += [Grams(unit, *self.characters)] if self.characters else []
        parts = [self._learn(grams, texts, self.features // len(asked)) for grams in asked]
        found = tuple(part for part in parts if part is not None)
        if not found:
            raise DataError(
                "prepare, ngrams",
                f"n-grams that {self.min_rows} training texts have",
                "none",
                "Lower min_rows, or look whether the column holds text (data.types).",
            )
        return NGrams(found)

    def _learn(self, grams: Grams, texts: Sequence[str], most: int) -> TermWeights | None:
        """What of these n-grams is counted; None for nothing."""
        form = TextForm(self.unicode, self.case, self.longest)
        if self.hashed:
            rows = _rows_of(GramReader(form, grams, hashed(most)), texts, most)
            return self._weights(grams, len(texts), rows.tolist(), hashed=most)
        number: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        held = _rows_of(GramReader(form, grams, number.__getitem__), texts).tolist()
        frequent = [
            (term, held[place]) for term, place in number.items() if held[place] >= self.min_rows
        ]
        if len(frequent) > most:  # those of most texts, then by the alphabet
            frequent = sorted(frequent, key=lambda pair: (-pair[1], pair[0]))[:most]
        if not frequent:
            return None
        frequent.sort()
        return self._weights(
            grams,
            len(texts),
            [count for _, count in frequent],
            terms=[term for term, _ in frequent],
        )

    def _weights(self, grams: Grams, texts: int, rows: Sequence[int], **places: Any) -> TermWeights:
        """`places`: terms, or hashed."""
        weighed = {"texts": texts, "rows": rows} if self.weight == "idf" else {}
        return TermWeights(
            unicode=self.unicode,
            case=self.case,
            longest=self.longest,
            unit=grams.unit,
            low=grams.low,
            high=grams.high,
            sublinear=self.sublinear,
            unit_norm=self.unit_norm,
            **weighed,
            **places,
        )


def _rows_of(reader: GramReader, texts: Sequence[str], places: int = 0) -> IntArray:
    """[places or more] how many texts have an n-gram of each place."""
    total = np.zeros(places, dtype=np.int64)
    for start in range(0, len(texts), BLOCK):
        distinct = [
            np.unique(np.frombuffer(reader.numbers(text), dtype=np.intc))
            for text in texts[start : start + BLOCK]
        ]
        found = np.bincount(np.concatenate(distinct), minlength=len(total))
        found[: len(total)] += total
        total = found
    return total


def _features(texts: Sequence[str], reader: TermReader) -> csr_array:
    """[rows, features] of each text, as serving reads them."""
    pairs = [reader.read(text) for text in texts]
    ends = np.cumsum([0, *(len(places) for places, _ in pairs)], dtype=np.int64)
    ends = ends.astype(np.int32) if ends[-1] < 1 << 31 else ends  # liblinear takes no longer ones
    places = np.concatenate([places for places, _ in pairs], dtype=np.int32)
    values = np.concatenate([values for _, values in pairs])
    return csr_array((values, places, ends), shape=(len(texts), reader.size))
