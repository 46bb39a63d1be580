"""Tokens become texts by the bytes that they spell, whatever a graph gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from sixfold.bundle.transcription.runtime import described_decoder
from sixfold.bundle.transcription.tokens import TokenTexts
from sixfold.core.byte_letters import BYTES
from sixfold.core.errors import BundleError
from sixfold.recipe.token_decoder import TokenDecoder

LETTERS = {byte: letter for letter, byte in BYTES.items()}
PIECES = ("", *(LETTERS[byte] for byte in range(256)))
END = 0


def decoder(longest: int = 100, cells: int = 40) -> TokenDecoder:
    return TokenDecoder(cells=cells, end=END, pieces=PIECES, longest=longest)


def tokens(text: str, cells: int = 40) -> list[float]:
    found = [1.0 + byte for byte in text.encode()]
    return [*found, *[float(END)] * (cells - len(found))]


def test_letters_are_those_of_byte_level_tokenizers() -> None:
    assert set(ByteLevel.alphabet()) == BYTES.keys()
    spelled = ByteLevel(add_prefix_space=False).pre_tokenize_str("é 猫\n")
    text = "".join(piece for piece, _ in spelled)
    assert bytes(map(BYTES.__getitem__, text)).decode() == "é 猫\n"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (" a  b ", "a b"),
        ("Grüße, 猫", "Grüße, 猫"),
        ("e\u0301", "é"),
        ("a\0b\n", "ab"),
        ("", ""),
    ],
)
def test_a_text_is_what_tokens_spell(given: str, text: str) -> None:
    assert TokenTexts(decoder()).text_of_values(np.array(tokens(given))) == text


def test_what_stands_behind_the_end_is_not_read() -> None:
    values = np.array([*tokens("ab", 2), float(END), *tokens("c", 1)])
    said = TokenTexts(decoder()).said(values)
    assert (said.text, said.words) == ("ab", None)


def test_a_text_has_an_end() -> None:
    assert TokenTexts(decoder(longest=3)).text_of_values(np.array(tokens("abcdef"))) == "abc"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, -1.0, 257.0, 1e300])
def test_numbers_that_are_no_tokens_end_a_text(number: float) -> None:
    values = np.array([*tokens("a", 1), number, *tokens("b", 1)])
    assert TokenTexts(decoder()).text_of_values(values) == "a"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"pieces": ["a", "\u4e00"]}, "no byte"),
        ({"pieces": []}, "at least 1 item"),
        ({"cells": 0}, "greater than or equal to 1"),
        ({"longest": 1 << 30}, "less than or equal to"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_a_decoder_that_is_described_otherwise_is_refused(
    changed: dict[str, object], problem: str
) -> None:
    described = json.dumps(decoder().model_dump() | changed)
    outputs = {"value": "tensor(double) [rows, 40]"}
    with pytest.raises(BundleError, match=problem):
        described_decoder({"decoder": described}, outputs, "model.onnx")


def test_the_graph_gives_as_many_tokens_as_its_decoder_takes() -> None:
    outputs = {"value": "tensor(double) [rows, 41]"}
    with pytest.raises(BundleError, match="outputs as the decoder takes them"):
        described_decoder({"decoder": decoder().model_dump_json()}, outputs, "model.onnx")
