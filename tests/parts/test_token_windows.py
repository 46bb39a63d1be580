"""Packed texts: nothing is lost, nothing is learned twice, and a text is what it is alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.parts.stored_tokens import StoredTokens, TokenRow, store, stored_tokens
from sixfold.parts.token_windows import (
    IDS,
    IGNORED,
    PLACES,
    TEXTS,
    PackedTexts,
    filled,
    losses_of_texts,
    scoring_windows,
)
from tiny_language import sentences, stored, tokenizer

OWN = tokenizer()


def ids_of(tokens: StoredTokens) -> list[list[int]]:
    return [[~i if i < 0 else i for i in text.tolist()] for text in tokens.texts()]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(8, 24))
def test_every_token_is_learned_once(words: list[int], length: int) -> None:
    texts = [" ".join(["cat"] * count) for count in words]
    tokens = stored(texts, OWN)
    packed = PackedTexts(tokens, length)
    x, y = packed.read(np.arange(len(packed)), None)
    assert x.shape == (len(packed), 3, length)
    flat = y.flatten()
    learned = flat[flat != IGNORED].tolist()
    assert learned == [i for text in ids_of(tokens) for i in text[1:]]
    follows = (x[:, IDS, 1:] == y[:, :-1]) | (y[:, :-1] == IGNORED)
    same = x[:, TEXTS, 1:] == x[:, TEXTS, :-1]
    assert bool(follows[same].all())
    assert bool((x[:, PLACES, 1:][same] == x[:, PLACES, :-1][same] + 1).all())
    assert bool((x[:, PLACES, 1:][~same] == 0).all())


def test_a_view_reads_its_rows_alone() -> None:
    tokens = stored(sentences(9), OWN)
    rows = np.array([7, 2, 4])
    some = tokens.take(rows)
    assert ids_of(some) == [ids_of(tokens)[row] for row in rows]
    _, y = PackedTexts(some, 16).read(np.arange(len(PackedTexts(some, 16))), None)
    assert y[y != IGNORED].tolist() == [i for text in ids_of(some) for i in text[1:]]
    assert some.of_file == tokens.of_file


def test_complements_are_read_and_not_learned() -> None:
    def half(texts: object) -> list[TokenRow]:
        return [TokenRow(np.array([~0, ~5, ~6, 7, 8, 0], dtype=np.int32), 2)]

    tokens = store(["a question and an answer"], OWN, half)
    x, y = PackedTexts(tokens, 8).read(np.array([0]), None)
    assert x[0, IDS].tolist()[:5] == [0, 5, 6, 7, 8]
    assert y[0].tolist() == [IGNORED, IGNORED, 7, 8, 0, IGNORED, IGNORED, IGNORED]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 90), min_size=1, max_size=10), st.integers(4, 32))
def test_every_token_is_scored_once_with_half_a_context_before_it(
    lengths: list[int], context: int
) -> None:
    scored: list[tuple[int, int]] = []
    for spans in scoring_windows(lengths, context):
        assert sum(span.stop - span.start for span in spans) <= context
        for span in spans:
            assert span.scored - span.start >= min(span.scored, context // 2)
            scored += [(span.row, at) for at in range(span.scored, span.stop)]
    assert sorted(scored) == [
        (row, at) for row, count in enumerate(lengths) for at in range(count - 1)
    ]


def test_losses_go_to_their_texts() -> None:
    tokens = stored(sentences(5), OWN)
    windows = scoring_windows(tokens.lengths.tolist(), 16)
    _, y = filled(windows, tokens, 16)
    found = losses_of_texts(windows, y.double(), y, 5)  # the "loss" of a token is its id
    expected = [[float(sum(text[1:])), len(text) - 1] for text in ids_of(tokens)]
    np.testing.assert_array_equal(found, expected)


def test_a_file_that_is_there_is_read_and_another_tokenizer_has_its_own() -> None:
    texts = sentences(20)
    first, again = stored(texts, OWN), stored(texts, OWN)
    assert first.path == again.path
    assert stored(texts, tokenizer(300)).path != first.path
    assert stored(texts[::-1], OWN).path != first.path
    assert first.size_bytes.tolist() == [len(text.encode()) for text in texts]


def test_other_features_are_refused() -> None:
    with pytest.raises(TypeError, match="ndarray holds no tokens"):
        stored_tokens(np.zeros((2, 2)))
