"""Tokens to text while they come: characters of several tokens, stop strings across them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import language_bundles
from sixfold.bundle.language.answer_text import AnswerText
from sixfold.bundle.language.requests import Piece, overlap
from sixfold.bundle.language.tokens import LanguageTokens

MADE = language_bundles.tokenizer()
FILES = {
    "config.json": b'{"max_position_embeddings": 128}',
    "tokenizer.json": MADE.to_str().encode(),
    "tokenizer_config.json": json.dumps({"eos_token": "<|endoftext|>"}).encode(),
    "generation_config.json": b'{"eos_token_id": 0}',
}
TOKENS = LanguageTokens.of(FILES, "hf")


def given_out(text: AnswerText, ids: list[int], finish: str = "length") -> list[str]:
    """One token a piece."""
    return [
        text.add(Piece((place,), (-1.0,), finish if at == len(ids) - 1 else None))  # type: ignore[arg-type]
        for at, place in enumerate(ids)
    ]


@pytest.mark.parametrize(
    "text", ["naïve 漢字 🙂 end", "  two  spaces\n\n", "The import statement", "e\u0301"]
)
def test_pieces_are_the_text(text: str) -> None:
    answer = AnswerText(TOKENS)
    pieces = given_out(answer, TOKENS.encode(text))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert answer.finish == "length"


def test_a_character_that_never_became_whole_is_marked() -> None:
    ids = TOKENS.encode("🙂")[:-1]
    answer = AnswerText(TOKENS)
    assert "".join(given_out(answer, ids)) == TOKENS.decode(ids)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_nothing_behind_a_stop_string(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(language_bundles.TEXTS))
    start = data.draw(st.integers(1, len(text) - 2))
    stop = text[start : start + data.draw(st.integers(1, 9))]
    answer = AnswerText(TOKENS, [stop, "never there"])
    found = "".join(given_out(answer, TOKENS.encode(text)))
    assert found == text[: text.index(stop)]
    assert answer.finish == "stop"
    assert len(answer.logprobs) == len(answer.ids)


def test_what_only_begins_like_a_stop_string_is_given() -> None:
    text = "The import statement finds"
    answer = AnswerText(TOKENS, ["findsx"])
    pieces = given_out(answer, TOKENS.encode(text))
    assert "".join(pieces) == text
    assert answer.finish == "length"


def test_the_end_token_is_counted_and_no_part_of_the_text() -> None:
    ids = [*TOKENS.encode("The"), 0]
    answer = AnswerText(TOKENS)
    assert "".join(given_out(answer, ids, "stop")) == "The"
    assert (answer.count, len(answer.ids), answer.finish) == (len(ids), len(ids) - 1, "stop")


def test_overlap() -> None:
    assert [overlap(text, "stop") for text in ("", "xs", "sto", "stop", "ssto", "to")] == [
        0,
        1,
        3,
        0,
        3,
        0,
    ]
