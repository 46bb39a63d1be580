"""Byte-level BPE: trained on training texts alone, the same in every process, and without a text that it cannot hold."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sixfold.core.texts import TextForm
from sixfold.parts import state
from sixfold.prepare.step import Training
from sixfold.prepare.text.tokens import Settings, Tokens

TRAINING = Training((), np.zeros((0, 1)), "classification", 0)
TEXTS = [
    f"the {word} of the {other}" for word in ("cat", "queen", "house", "Haus") for other in ("mat", "sea", "ß")
] * 4


def fit(texts: list[str] = TEXTS, **options: object) -> Tokens:
    return Settings(**{"size": 300, **options}).fit(texts, TRAINING)  # type: ignore[arg-type]


STEP = fit(length=64)


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=20))
def test_every_text_comes_back(text: str) -> None:
    (row,) = STEP.transform([text])
    read = TextForm("NFC", "keep").normalized(text)
    if len(read.encode()) <= 64:
        assert Tokenizer.from_str(STEP.tokenizer).decode(row[row != 0].tolist()) == read


def test_rows_are_padded_and_cut_and_that_is_told() -> None:
    step = fit(length=4)
    found = step.transform(["", "the", "the cat of the mat and more"])
    assert found.shape == (3, 4) and found.dtype == np.int64
    assert not found[0].any() and (found[1] != 0).sum() < 4 and (found[2] != 0).all()
    assert step.cut(["", "the", "the cat of the mat and more"]) == 1


def test_the_length_is_that_of_most_training_texts() -> None:
    texts = ["a b c"] * 95 + ["a b c " * 100] * 5
    assert fit(texts).length == 8
    assert fit([*texts, *["a b c " * 400] * 60]).length == 512


def test_pieces_are_learned() -> None:
    assert (STEP.transform(["the queen"])[0] != 0).sum() < len("the queen")
    assert 257 < STEP.size <= 300


def test_the_order_of_the_texts_and_the_process_change_no_bit() -> None:
    mixed = TEXTS[:]
    random.Random(3).shuffle(mixed)
    assert fit(mixed, length=64) == STEP
    code = (
        "import numpy as np; from sixfold.prepare.text.tokens import Settings; from sixfold.prepare.step import Training;"
        f"texts = {TEXTS!r};"
        "made = Settings(size=300, length=64).fit(texts, Training((), np.zeros((0, 1)), 'classification', 0));"
        "print(made.tokenizer, end='')"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == STEP.tokenizer
    )


def test_held_out_texts_change_no_bit_of_it() -> None:
    before = state.digest(STEP)
    STEP.transform(["zebra zebra zebra"] * 100)
    assert state.digest(STEP) == before == state.digest(fit(length=64))
    assert "zebra" not in STEP.tokenizer


def test_no_text_can_hold_the_padding() -> None:
    assert (STEP.transform(["a\x00b"])[0] != 0).sum() == (STEP.transform(["a b"])[0] != 0).sum()


def test_it_is_stored_and_read_again(tmp_path: object) -> None:
    state.save(STEP, tmp_path)  # type: ignore[arg-type]
    again = state.load(tmp_path, Tokens)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.transform(TEXTS), STEP.transform(TEXTS))


@pytest.mark.parametrize("size", [0, 257, 1_000_000])
def test_sizes_that_cannot_be(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        Settings(size=size)
