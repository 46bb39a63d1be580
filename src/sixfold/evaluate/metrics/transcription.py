"""How many words, or characters, of what was said are wrong: substituted, left out, or put in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.evaluate.metric import Metric
from sixfold.parts.table import FloatArray, Target, Task
from sixfold.parts.transcripts import texts_of

PLUGINS: Final = {"word_error_rate": "WordErrorRate", "character_error_rate": "CharacterErrorRate"}
REMEMBERED: Final = 1 << 16  # pairs of texts: a bootstrap asks for the same ones hundreds of times


class Edits(NamedTuple):
    """[rows] of each text the words or characters that are `wrong`, and those that are `there`."""

    wrong: FloatArray
    there: FloatArray


def edits(target: Target, predicted: npt.NDArray[Any], words: bool) -> Edits:
    """`predicted`: [rows, characters] code points, 0 behind a text's end."""
    pairs = zip(texts_of(target.values), texts_of(predicted), strict=True)
    found = [_counted(said, heard, words) for said, heard in pairs]
    return Edits(*np.array(found, dtype=np.float64).reshape(-1, 2).T)


def distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The fewest items that are substituted, left out or put in to make the one sequence of the other
    (Levenshtein 1966; by Wagner and Fischer's table, 1974, row after row).
    """
    numbers: dict[Any, int] = {}
    left, right = (
        np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)
        for items in (one, other)
    )
    places = np.arange(len(right) + 1)
    row = places.copy()
    for number in left.tolist():
        changed = row[:-1] + (right != number)
        row = row + 1
        row[1:] = np.minimum(row[1:], changed)
        row = np.minimum.accumulate(row - places) + places  # what is put in, one after the other
    return int(row[-1])


@lru_cache(maxsize=REMEMBERED)
def _counted(said: str, heard: str, words: bool) -> tuple[int, int]:
    """Wrong ones, and all that were said."""
    one, other = (said.split(), heard.split()) if words else (list(said), list(heard))
    return distance(one, other), len(one)


class CharacterErrorRate(Metric):
    """Characters that are substituted, left out or put in, over the characters that were said, of all texts
    together; spaces count.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"transcription"})
    greater_is_better: ClassVar[bool] = False
    needs: ClassVar[str] = "value"
    words: ClassVar[bool] = False

    def score(self, target: Target, predicted: FloatArray) -> float:
        """`predicted`: [rows, characters] code points; NaN where nothing was said."""
        found = edits(target, predicted, self.words)
        weights = np.ones(len(found.there)) if target.weights is None else target.weights
        there = float(weights @ found.there)
        return float(weights @ found.wrong) / there if there else math.nan


class WordErrorRate(CharacterErrorRate):
    """Words that are substituted, left out or put in, over the words that were said, of all texts together;
    they end at white space.
    """

    words: ClassVar[bool] = True
