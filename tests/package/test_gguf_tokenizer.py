"""Tokenizers of SentencePiece's kind: what stands in the file makes the same tokens by llama.cpp's rule, and the server's are
those of training and of transformers, token by token.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import language_bundles
import sentencepiece_like
from sixfold.bundle.language.answer_text import AnswerText
from sixfold.bundle.language.requests import Piece
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.package.gguf_file import gguf_bytes
from sixfold.parts.conversation import example_of
from sixfold.parts.text_tokenizer import of_checkpoint
from sixfold.prepare.text.learned_tokens import ExampleTokens

BOTH = pytest.mark.parametrize("old", [True, False], ids=["Prepend", "Metaspace"])
FILES = {old: sentencepiece_like.files("llama", old) for old in (True, False)}
TOKENS = {old: LanguageTokens.of(files, "hf") for old, files in FILES.items()}
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # types of tokens


def in_file(files: dict[str, bytes], folder: Path) -> dict[str, Any]:
    path = folder / "model.gguf"
    path.write_bytes(gguf_bytes(files, "tiny"))
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def by_scores(text: str, value: dict[str, Any]) -> list[int]:
    """llama.cpp's rule: of all neighbors that are a token together the one of the highest score is made
    first, the leftmost of several; what is no token at the end is written in bytes.
    """
    names, scores = value["tokenizer.ggml.tokens"], value["tokenizer.ggml.scores"]
    places = {name: place for place, name in enumerate(names)}
    prefix = "▁" if value["tokenizer.ggml.add_space_prefix"] and text else ""
    parts = list(prefix + text.replace(" ", "▁"))
    while True:
        made = [
            (-scores[places[first + second]], place)
            for place, (first, second) in enumerate(pairwise(parts))
            if first + second in places
        ]
        if not made:
            break
        _, place = min(made)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    found = list[int]()
    for part in parts:
        known = places.get(part)
        each = [places[f"<0x{byte:02X}>"] for byte in part.encode()] if known is None else [known]
        found += each
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["Prepend", "Metaspace"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, dict[str, Any]]:
    files = FILES[request.param]
    plain = Tokenizer.from_buffer(files["tokenizer.json"])
    plain.encode_special_tokens = True
    return plain, in_file(files, tmp_path_factory.mktemp("file"))


def test_the_file_says_what_each_token_is(stored: tuple[Tokenizer, dict[str, Any]]) -> None:
    plain, value = stored
    assert (value["tokenizer.ggml.model"], value["tokenizer.ggml.pre"]) == ("llama", "default")
    assert value["tokenizer.ggml.token_type"][:4] == [UNKNOWN, CONTROL, CONTROL, BYTE]
    assert value["tokenizer.ggml.token_type"][3:259] == [BYTE] * 256
    assert set(value["tokenizer.ggml.token_type"][259 : plain.get_vocab_size()]) == {NORMAL}
    names = [plain.id_to_token(place) for place in range(plain.get_vocab_size())]
    assert value["tokenizer.ggml.tokens"][: len(names)] == names
    assert len(value["tokenizer.ggml.scores"]) == len(value["tokenizer.ggml.tokens"])
    assert value["tokenizer.ggml.add_bos_token"] is True
    assert (value["tokenizer.ggml.bos_token_id"], value["tokenizer.ggml.eos_token_id"]) == (1, 2)


@settings(max_examples=60)
@given(text=st.text(alphabet="theimport adulT.,é漢🙂▁<0x4>s\n", min_size=1, max_size=40))
def test_scores_make_the_tokens(stored: tuple[Tokenizer, dict[str, Any]], text: str) -> None:
    plain, value = stored
    if plain.normalizer is None:  # a Metaspace puts no second space before a text; llama.cpp does
        text = text.lstrip(" ▁")
    assert by_scores(text, value) == plain.encode(text, add_special_tokens=False).ids


@BOTH
def test_served_tokens_are_those_of_training_and_of_transformers(old: bool, tmp_path: Path) -> None:
    folder = language_bundles.write(tmp_path, FILES[old])
    trained, served = of_checkpoint(folder), TOKENS[old]
    theirs = AutoTokenizer.from_pretrained(folder)
    for text in sentencepiece_like.TEXTS:
        (ids,) = trained.encode([text])
        assert served.prompt(text) == [trained.start, *ids]
        assert not set(ids) & {1, 2}  # a mark that somebody wrote is text
        assert served.decode(ids) == text
        if "<s>" not in text:
            assert served.prompt(text) == theirs(text)["input_ids"]
    for text in sentencepiece_like.LEADING:
        (ids,) = trained.encode([text])
        assert served.prompt(text) == [trained.start, *ids] == theirs(text)["input_ids"]
        assert served.decode(ids) == (text if old else text[1:])
    chat = [{"role": "user", "content": "Is café text, 漢字 🙂?"}]
    asked = theirs.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert served.chat(chat) == asked


@BOTH
def test_an_answer_in_pieces_is_the_text(old: bool) -> None:
    """Emoji that lie over several tokens, and the space before the first word."""
    tokens = TOKENS[old]
    for text in sentencepiece_like.TEXTS:
        before, whole = tokens.prompt("The list"), tokens.prompt(f"The list {text}")
        if whole[: len(before)] != before:
            continue
        answer = AnswerText(tokens, (), before)
        given = [answer.add(Piece((place,))) for place in whole[len(before) :]]
        assert "".join([*given, answer.add(Piece((2,), finish="stop"))]) == f" {text}"
        chat = AnswerText(tokens)
        ids = tokens.prompt(text)[1:]
        said = "".join(chat.add(Piece((place,))) for place in ids)
        assert said + chat.add(Piece((2,), finish="stop")) == text


@BOTH
def test_a_completion_is_learned_as_it_is_served(old: bool, tmp_path: Path) -> None:
    """The answer goes on with the prompt: no space is put between them."""
    own = of_checkpoint(language_bundles.write(tmp_path, FILES[old]))
    examples = ExampleTokens.by(own)
    for answer in ("list", " list", "\nlist"):
        row = {"prompt": "The list", "completion": answer}
        ids = examples.of(example_of(row, "here")).ids.tolist()
        before = TOKENS[old].prompt("The list")
        assert ids[: len(before)] == before
        assert TOKENS[old].decode(ids[len(before) : -1], before) == answer


def test_the_vocabulary_is_bytes() -> None:
    """What a JSON Schema is followed by: of every token the bytes that it adds, of marks none."""
    tokens = TOKENS[True]
    found = tokens.vocabulary(400)
    assert len(found) == 400
    assert found[:3] == [b"", b"", b""]
    assert found[3:259] == [bytes([byte]) for byte in range(256)]
    for text in sentencepiece_like.TEXTS:
        ids = tokens.prompt(text)[1:]
        assert b"".join(found[place] for place in ids).decode() == (f" {text}" if text else "")


def test_a_model_whose_tokenizer_names_no_start(tmp_path: Path) -> None:
    """As Qwen's: the one of its configuration, the same in training and in serving."""
    files = language_bundles.checkpoint("qwen2", bos_token_id=2)
    config = json.loads(files["tokenizer_config.json"])
    config.pop("bos_token")
    files["tokenizer_config.json"] = json.dumps(config).encode()
    trained = of_checkpoint(language_bundles.write(tmp_path, files))
    assert trained.start == 2
    served = LanguageTokens.of(
        {**files, "generation_config.json": json.dumps({"bos_token_id": trained.start}).encode()},
        "hf",
    )
    assert served.prompt("The list") == [2, *trained.encode(["The list"])[0]]
