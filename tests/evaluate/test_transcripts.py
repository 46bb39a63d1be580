"""Word and character error rates against a slow twin and jiwer; folds of texts; what is told of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.evaluate.metrics.transcription import (
    CharacterErrorRate,
    WordErrorRate,
    distance,
)
from sixfold.parts.table import Target
from sixfold.parts.transcripts import code_points, normalized, texts_of, widened

WORDS = st.lists(st.sampled_from(["a", "bb", "ab", "ba", "c"]), min_size=1, max_size=6)
TEXTS = WORDS.map(" ".join)


def target(texts: list[str], weights: Any = None) -> Target:
    return Target("transcription", code_points(texts), ("said",), weights=weights)


def twin(one: str, other: str) -> int:
    @cache
    def cost(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = one[i - 1] == other[j - 1]
        return min(cost(i - 1, j) + 1, cost(i, j - 1) + 1, cost(i - 1, j - 1) + (not same))

    return cost(len(one), len(other))


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_the_distance_is_that_of_the_recursion(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one) == twin(one, other)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_rates_are_those_of_jiwer(pairs: list[tuple[str, str]]) -> None:
    said, heard = [one for one, _ in pairs], [other for _, other in pairs]
    predicted = code_points(heard, 40).astype(np.float64)
    assert WordErrorRate().score(target(said), predicted) == pytest.approx(jiwer.wer(said, heard))
    assert CharacterErrorRate().score(target(said), predicted) == pytest.approx(
        jiwer.cer(said, heard)
    )


def test_a_weight_of_two_is_the_row_twice() -> None:
    said, heard = ["a b", "c"], code_points(["a", "d"]).astype(np.float64)
    twice = WordErrorRate().score(target([*said, "c"]), heard[[0, 1, 1]])
    assert WordErrorRate().score(target(said, np.array([1.0, 2.0])), heard) == twice == 0.75


def test_where_nothing_was_said_there_is_no_rate() -> None:
    assert np.isnan(WordErrorRate().score(target([""]), code_points(["a"]).astype(np.float64)))
    nothing = np.zeros((2, 1))
    assert WordErrorRate().score(target(["a b", "c"]), nothing) == 1.0


@given(st.lists(st.text("aé中 \U0001f600", max_size=9), min_size=1, max_size=4))
def test_texts_are_read_back(texts: list[str]) -> None:
    codes = code_points(texts).astype(np.float64)
    assert texts_of(codes) == texts
    assert texts_of(widened(codes, codes.shape[1] + 3)) == texts


def test_white_space_and_accents_are_one() -> None:
    assert normalized("  cafe\u0301\t au\nlait ") == "caf\u00e9 au lait"
