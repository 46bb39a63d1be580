"""Tokens of a checkpoint: its own tokenizer's, the padding first; other folders and other options
are refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer

import tiny_bert
from sixfold.core.errors import DataError
from sixfold.core.texts import TextForm
from sixfold.parts.fit import Needs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare import preparer
from sixfold.prepare.features.tokens import Settings, Tokens
from sixfold.prepare.plan import folder_digests
from sixfold.prepare.step import Training
from sixfold.recipe.schema import Feature, Prepare
from tiny_checkpoints import BYTE_PAIRS, BYTES, PLACES, rewritten, write

TRAINING = Training((), np.zeros((0, 1)), "classification", 0)
KINDS = ["bert", "roberta"]
LENGTH = 24
KNOWN: dict[str, tuple[Tokens, Tokenizer]] = {}


def fit(folder: Path, texts: tuple[str, ...] = ("great",), **options: Any) -> Tokens:
    return Settings(checkpoint=str(folder), **options).fit(texts, TRAINING)


@pytest.fixture(scope="module", autouse=True)
def fitted(tmp_path_factory: pytest.TempPathFactory) -> None:
    for kind in KINDS:
        folder = write(tmp_path_factory.mktemp(kind), kind)
        KNOWN[kind] = (
            fit(folder, length=LENGTH),
            Tokenizer.from_file(str(folder / "tokenizer.json")),
        )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
    | st.sampled_from(["great Great", "é ß 😀"])
)
def test_tokens_are_those_of_its_own_tokenizer(kind: str, text: str) -> None:
    step, tokenizer = KNOWN[kind]
    first, last, padding = (2, 3, 0) if kind == "bert" else (0, 2, 1)
    read = TextForm("none", "keep").normalized(text)  # without control characters
    expected = [first, *tokenizer.encode(read).ids[: LENGTH - 2], last]
    exchanged = [{0: padding, padding: 0}.get(one, one) for one in expected]
    (row,) = step.transform([text])
    assert row.tolist() == exchanged + [0] * (LENGTH - len(exchanged))


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_breaks_it(kind: str) -> None:
    step, _ = KNOWN[kind]
    found = step.transform(["", "\ud800", "x" * 200_000, "\x00\x07", "مرحبا"])
    assert found.shape == (5, LENGTH) and (found[:, :2] != 0).all()
    assert ((found >= 0) & (found < len(step.pieces.pieces))).all()


def test_the_length_is_that_of_most_training_texts_within_what_the_checkpoint_reads(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path)
    assert fit(folder, ("great",) * 20).pieces.length == 8
    assert fit(folder, ("great " * 12,) * 20).pieces.length == 16
    assert fit(folder, ("great " * 500,) * 20).pieces.length == PLACES
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    assert fit(folder, ("great " * 500,) * 20).pieces.length == 20
    with pytest.raises(DataError, match="expected length of at most 20; found 21"):
        fit(folder, length=21)
    with pytest.raises(DataError, match="expected length of at least 3; found 2"):
        fit(folder, length=2)
    assert fit(write(tmp_path / "other", "roberta"), ("g" * 500,) * 20).pieces.length == PLACES - 2


def test_a_family_with_a_checkpoint_gets_its_tokens_and_features_say_whose_they_are(
    tmp_path: Path,
) -> None:
    texts = ("awful", "great", "awful great")
    table = Table({"text": Column("text", np.arange(30, dtype=np.int32) % 3, texts)}, 30)
    target = Target("classification", np.arange(30) % 2, ("y",), ("a", "b"))
    needs = Needs(precision="float32", text="tokens", text_checkpoint=str(write(tmp_path / "bert")))
    found, x, _ = preparer.fit(table, target, Prepare(), needs, 0)
    (group,) = found.layout
    assert (group.tokens, group.tokenizer) == (
        len(tiny_bert.PIECES),
        fit(tmp_path / "bert").tokenizer,
    )
    assert np.asarray(x)[0].tolist() == [2, tiny_bert.PIECES.index("awful"), 3, 0, 0, 0, 0, 0]
    learned, _, _ = preparer.fit(
        table, target, Prepare(), Needs(precision="float32", text="tokens"), 0
    )
    assert learned.layout[0].tokenizer == ""


def test_the_folder_is_part_of_what_a_stage_depends_on(tmp_path: Path) -> None:
    features = Feature.model_validate(
        {"text": {"name": "tokens", "checkpoint": str(write(tmp_path))}}
    )
    before = folder_digests(features)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tiny_bert.TOKENIZER | {"version": "2.0"}))
    assert folder_digests(features) != before
    assert folder_digests(Feature.model_validate({"text": "tokens"})) == []


@pytest.mark.parametrize(
    "option", [{"size": 300}, {"min_rows": 3}, {"unicode": "none"}, {"case": "fold"}]
)
def test_what_is_for_learned_pieces_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match=f"{next(iter(option))} is for pieces that are learned"
    ):
        Settings(checkpoint="a", **option)


def changed(part: str, **keys: Any) -> dict[str, Any]:
    own: Any = BYTE_PAIRS[part]
    return BYTE_PAIRS | {part: own | keys if isinstance(own, dict) else keys}


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (
            changed("pre_tokenizer", type="Metaspace"),
            "pre_tokenizer.type: \"ByteLevel\"; found 'Metaspace'",
        ),
        (
            changed("pre_tokenizer", add_prefix_space=True),
            "pre_tokenizer.add_prefix_space: false; found True",
        ),
        (changed("normalizer", type="NFKC"), "normalizer: null; found"),
        (changed("model", dropout=0.1), "model.dropout: null; found 0.1"),
        (
            changed("model", vocab={"<pad>": 0}),
            "a vocabulary with <pad>, <s> and </s>, and merges of it",
        ),
        (changed("model", merges=["g"]), "a vocabulary with <pad>, <s> and </s>, and merges of it"),
        (changed("model", vocab=dict.fromkeys(BYTES, 7)), "found places that are not 0, 1, 2"),
        (changed("model", type="Unigram"), "model.type: WordPiece; found 'Unigram'"),
        ([], "model.type: WordPiece; found None"),
    ],
)
def test_other_tokenizers_are_refused(tokenizer: Any, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "roberta")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match=message):
        fit(folder)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"expected a checkpoint: config\.json, tokenizer\.json; found no such folder",
    ):
        fit(tmp_path / "none")
    folder = write(tmp_path, "roberta", pad_token_id=3)
    with pytest.raises(
        DataError, match=r"the padding at place 1; found pad_token_id 3 in config\.json"
    ):
        fit(folder)
    rewritten(folder, max_position_embeddings="many")
    with pytest.raises(DataError, match="expected max_position_embeddings; found 'many'"):
        fit(folder)
