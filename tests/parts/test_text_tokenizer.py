"""The tokenizer of a language model: any text comes back, special tokens stand where they have to, and
transformers reads the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from sixfold.core.errors import DataError
from sixfold.parts.text_tokenizer import LEAST_VOCABULARY, SPECIAL, learned, of_checkpoint
from tiny_language import sentences, tokenizer, write_checkpoint

OWN = tokenizer()
BYTES = learned([], LEAST_VOCABULARY)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_every_text_comes_back(text: str) -> None:
    for one in (OWN, BYTES):
        (ids,) = one.encode([text])
        assert one.decode(ids) == text
        assert min(ids, default=4) >= 4


def test_single_bytes_are_tokens_of_their_own() -> None:
    (ids,) = BYTES.encode(["aé"])
    assert BYTES.vocabulary == LEAST_VOCABULARY == len(set(range(256))) + len(SPECIAL)
    assert len(ids) == len("aé".encode())


def test_marks_in_a_text_are_text_and_in_a_template_are_tokens() -> None:
    text = "<|im_start|>user"
    (plain,), (marked,) = OWN.encode([text]), OWN.encode_marked([text])
    assert marked[0] == SPECIAL.index("<|im_start|>")
    assert not set(plain) & set(range(4))
    assert OWN.decode(plain) == text


def test_the_same_texts_give_the_same_tokenizer() -> None:
    texts = sentences(100)
    assert learned(texts, 300).model == learned(iter(texts), 300).model
    assert learned(texts, 300).vocabulary == 300


def test_transformers_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(OWN.model)
    (tmp_path / "tokenizer_config.json").write_text(OWN.config)
    other: Any = AutoTokenizer.from_pretrained(tmp_path)
    for text in ["the old cat", "  two  spaces\n\n", "naïve – 日本", "don't 1234"]:
        (ids,) = OWN.encode([text])
        assert other(text, add_special_tokens=False).input_ids == ids
        assert other.decode(ids) == text
    assert [other.bos_token_id, other.eos_token_id, other.pad_token_id] == [0, 0, 1]


def test_a_checkpoint_brings_its_own(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, own=OWN)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    found = of_checkpoint(folder)
    assert found.encode(["the cat"]) == OWN.encode(["the cat"])
    assert (found.start, found.end, found.vocabulary) == (0, 0, OWN.vocabulary)
    assert found.chat_template == "{{ messages[0].content }}"


def test_what_is_wrong_with_a_checkpoints_tokenizer_is_told(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, own=OWN)
    facts = json.loads(OWN.config)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**facts, "eos_token": "<|gone|>"}))
    with pytest.raises(
        DataError, match=re.escape("the eos_token of tokenizer_config.json; found no '<|gone|>'")
    ):
        of_checkpoint(folder)
    file.write_text(json.dumps({**facts, "eos_token": None, "bos_token": None}))
    config = folder / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "bos_token_id": None, "eos_token_id": None}))
    with pytest.raises(DataError, match="an eos_token, which ends a text; found none"):
        of_checkpoint(folder)
    (folder / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(DataError, match=r"tokenizer\.json: expected a tokenizer"):
        of_checkpoint(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"found no tokenizer\.json"):
        of_checkpoint(folder)
