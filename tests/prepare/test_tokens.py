"""Byte-level BPE: trained on training texts alone, the same in every process, and without a text
that it cannot hold.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparing import session
from tokenizers import decoders, pre_tokenizers

from sixfold.bundle.modality_reader import described_input, reader_of
from sixfold.bundle.texts import LIMITS, encoder_of
from sixfold.bundle.tokens import TokenReader, tokenizer_of
from sixfold.core.errors import BundleError
from sixfold.core.texts import TextForm
from sixfold.parts import state
from sixfold.parts.fit import Needs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare.features.tokens import Settings, Tokens
from sixfold.prepare.preparer import fit as fit_preparer
from sixfold.prepare.step import Training
from sixfold.recipe.schema import Prepare
from sixfold.recipe.texts import BYTE_LETTERS, TextInput, TokenPieces

TRAINING = Training((), np.zeros((0, 1)), "classification", 0)
TEXTS = [
    f"the {word} of the {other}"
    for word in ("cat", "queen", "house", "Haus")
    for other in ("mat", "sea", "ß")
] * 4


def fit(texts: list[str] = TEXTS, **options: object) -> Tokens:
    return Settings(**{"size": 300, **options}).fit(texts, TRAINING)  # type: ignore[arg-type]


STEP = fit(length=64)


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=20))
def test_every_text_comes_back(text: str) -> None:
    (row,) = STEP.transform([text])
    read = TextForm("NFC", "keep").normalized(text)
    if len(read.encode()) <= 64:
        tokenizer = tokenizer_of(STEP.pieces)
        tokenizer.decoder = decoders.ByteLevel()
        assert tokenizer.decode(row[row != 0].tolist()) == read


def test_rows_are_padded_and_cut_and_that_is_told() -> None:
    step = fit(length=4)
    found = step.transform(["", "the", "the cat of the mat and more"])
    assert found.shape == (3, 4) and found.dtype == np.int64
    assert not found[0].any() and (found[1] != 0).sum() < 4 and (found[2] != 0).all()
    assert TokenReader(step.pieces).longer(["", "the", "the cat of the mat and more"]) == 1
    assert step.notes == (
        f"{len(step.pieces.pieces)} pieces, 4 tokens a text; {step.cut} of 48 training texts are cut",
    )
    assert step.cut == TokenReader(step.pieces).longer(TEXTS) > 0


def test_the_length_is_that_of_most_training_texts() -> None:
    texts = ["a b c"] * 95 + ["a b c " * 100] * 5
    assert fit(texts).pieces.length == 8
    assert fit([*texts, *["a b c " * 400] * 60]).pieces.length == 512


def test_pieces_are_learned() -> None:
    assert (STEP.transform(["the queen"])[0] != 0).sum() < len("the queen")
    assert 257 < len(STEP.pieces.pieces) <= 300


def test_the_order_of_the_texts_and_the_process_change_no_bit() -> None:
    mixed = TEXTS[:]
    random.Random(3).shuffle(mixed)
    assert fit(mixed, length=64) == STEP
    code = (
        "import numpy as np; from sixfold.prepare.features.tokens import Settings; from sixfold.prepare.step import Training;"
        f"texts = {TEXTS!r};"
        "made = Settings(size=300, length=64).fit(texts, Training((), np.zeros((0, 1)), 'classification', 0));"
        "print(made.pieces.model_dump_json(), end='')"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == STEP.pieces.model_dump_json()
    )


def test_held_out_texts_change_no_bit_of_it() -> None:
    before = state.digest(STEP)
    STEP.transform(["zebra zebra zebra"] * 100)
    assert state.digest(STEP) == before == state.digest(fit(length=64))
    assert not any("zebra" in piece for piece in STEP.pieces.pieces)


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


def test_no_tokenizer_is_read_that_brings_rules_of_its_own() -> None:
    """A description names one of two kinds; a pattern, a normalizer or a special token has no place
    in it.
    """
    fields = STEP.pieces.model_dump(mode="json")
    for extra in (
        {"pattern": "(a+)+$"},
        {"normalizer": {}},
        {"kind": "unigram"},
        {"added_tokens": []},
    ):
        assert described({**fields, **extra})[0] == "text_0"
    assert described(fields)[1] == TextInput(name="text_0", column="body", tokens=STEP.pieces)


def described(fields: dict[str, object]) -> tuple[str, object]:
    """The input's name as the message begins with it, or, as second, what is read."""
    content = json.dumps({"name": "text_0", "column": "body", "tokens": fields})
    try:
        return "", described_input(TextInput, "text_0", content.encode(), LIMITS, "model.onnx")
    except BundleError as error:
        return error.expected[:6], None


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"pieces": ["a", "a"]}, "not distinct"),
        ({"merges": [[0, 100_000]]}, "behind the last piece"),
        ({"merges": [[0, -1]]}, "behind the last piece"),
        ({"padding": 100_000}, "behind the last piece"),
        ({"before": [1], "after": [2], "length": 2}, "without a place"),
        ({"pieces": ["a", "b"], "merges": []}, "lack a byte"),
        ({"length": 1 << 20}, "less than or equal to 2048"),
        ({"longest": 1 << 40}, "less than or equal to 10000000"),
        ({"pieces": ["x" * 1000]}, "at most 512 characters"),
    ],
)
def test_descriptions_that_cannot_be(changed: dict[str, object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        TokenPieces(**{**STEP.pieces.model_dump(), **changed})


def test_byte_letters_are_those_of_the_library() -> None:
    assert set(pre_tokenizers.ByteLevel.alphabet()) == BYTE_LETTERS


def word_pieces(**options: object) -> TokenPieces:
    pieces = (
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "free",
        "##dom",
        "call",
        "!",
        "caf",
        "##e",
        "##\u00e9",
        "stra",
        "##\u00df",
        "\u65e5",
    )
    rules = {
        "kind": "word_pieces",
        "unicode": "none",
        "case": "fold",
        "longest": 1000,
        "accents": False,
        "unknown": 1,
    }
    ends = {"before": (2,), "after": (3,), "length": 10}
    return TokenPieces(**{"pieces": pieces, **rules, **ends, **options})  # type: ignore[arg-type]


def test_word_pieces_are_those_of_bert() -> None:
    (row,) = TokenReader(word_pieces()).read(["FREEDOM call! caf\u00e9 \u65e5\u65e5 xyz"])
    assert row.tolist() == [2, 4, 5, 6, 7, 8, 9, 13, 13, 3]
    (row,) = TokenReader(word_pieces(accents=True)).read(["caf\u00e9 stra\u00df\u200b"])
    assert row.tolist() == [2, 8, 10, 11, 12, 3, 0, 0, 0, 0]


def test_what_looks_like_a_special_token_is_text() -> None:
    (row,) = TokenReader(word_pieces()).read(["[SEP]"])
    assert (row == 3).sum() == 1
    assert row.tolist().index(3) > 1


TRAPS = [
    "",
    " ",
    "\ud800",
    "a\x00b",
    "e\u0301",
    "\u200b",
    "\U0001f600" * 40,
    "x" * 1_000_000,
    "\u0301" * 5_000,
    "\ufffd",
]


@pytest.mark.parametrize("pieces", [STEP.pieces, word_pieces()], ids=["byte_pairs", "word_pieces"])
def test_odd_texts_alone_and_together(pieces: TokenPieces) -> None:
    encoder = encoder_of(TextInput(name="text_0", column="body", tokens=pieces), "model.onnx")
    together = encoder.encode(TRAPS)
    assert together.dtype == np.float64 and together.shape == (len(TRAPS), pieces.length)
    assert together.min() >= 0 and together.max() < len(pieces.pieces)
    for row, text in zip(together, TRAPS, strict=True):
        np.testing.assert_array_equal(encoder.encode_in_place([text])[0], row)


def test_the_graph_takes_what_the_preparer_gives() -> None:
    texts = [*TEXTS, *TRAPS[:5]]
    table = Table({"body": Column("text", np.arange(len(texts)), tuple(texts))}, len(texts))
    target = Target("classification", np.arange(len(texts)) % 2, ("y",), ("a", "b"))
    needs = Needs(text="tokens", precision="float32")
    made, x, _ = fit_preparer(table, target, Prepare(), needs, 0)
    assert (
        x.dtype == np.float32
        and made.layout[0].kind == "tokens"
        and made.layout[0].tokens == made.feature_levels[0]
    )
    assert made.notes[0].startswith("Text 'body': ")
    graph = Graph()
    value = made.export(graph, RawInputs(graph, [], frozenset()))
    graph.output("x", value, TensorProto.FLOAT, ["rows", x.shape[1]])
    model = graph.model()
    (content,) = [prop.value for prop in model.metadata_props if prop.key == "text_0"]
    encoded = reader_of("text").encoder("text_0", content.encode(), "model.onnx").encode(texts)
    np.testing.assert_array_equal(
        session(graph, {"text_0": encoded}).run(None, {"text_0": encoded})[0], x
    )
    np.testing.assert_array_equal(encoded, x)
