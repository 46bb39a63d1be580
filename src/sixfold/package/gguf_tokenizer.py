"""The tokenizer of a GGUF file, from a checkpoint's `tokenizer.json`: byte-level BPE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gguf

from sixfold.core.errors import BundleError
from sixfold.parts.gguf_shape import check_tokenizer
from sixfold.recipe.chat_template import special_tokens

# By a part of the pattern that splits a text: llama.cpp's name for the tokenizer that has it.
PATTERNS: Final = {
    r"\\p{N}{1,3}": "llama-bpe",
    r"|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*": "qwen2",
}
BYTE_LEVEL: Final = "gpt-2"  # the pattern that a plain ByteLevel has
# Of a tokenizer without merges, as readers ask for some: a byte that no text in UTF-8 has.
NEVER_MERGED: Final = "ÿ ÿ"
REMEDY: Final = "Use a byte-level BPE tokenizer, or export the checkpoint alone (--hf)."


def add_tokenizer(writer: gguf.GGUFWriter, files: Mapping[str, bytes], size: int) -> None:
    """Tokens, their types, merges, special tokens and chat template.

    `size`: rows of the model's embedding; where it has more than the tokenizer has tokens, the rest
    get names that no text contains. Raises BundleError, DataError.
    """
    described = json.loads(files["tokenizer.json"])
    config = json.loads(files["tokenizer_config.json"])
    model = described["model"]
    check_tokenizer(described)
    added = {each["id"]: each for each in described.get("added_tokens", [])}
    tokens = _tokens(model["vocab"], added, size)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pattern_name(described.get("pre_tokenizer") or {}))
    writer.add_token_list(tokens)
    writer.add_token_types(_types(tokens, added, model["vocab"]))
    writer.add_token_merges(merges or [NEVER_MERGED])
    _add_special(writer, config, tokens)


def _tokens(vocabulary: Mapping[str, int], added: Mapping[int, Any], size: int) -> list[str]:
    by_id = {place: token for token, place in vocabulary.items()}
    by_id |= {place: str(each["content"]) for place, each in added.items()}
    if max(by_id, default=-1) >= size:
        found = f"{max(by_id) + 1} tokens"
        raise _refused("vocabulary", f"at most the model's vocab_size of {size} tokens", found)
    return [by_id.get(place, f"[PAD{place}]") for place in range(size)]


def _types(
    tokens: Sequence[str], added: Mapping[int, Any], vocabulary: Mapping[str, int]
) -> list[int]:
    """A control token stands for no text; a user-defined one is never split."""
    found = []
    for place, token in enumerate(tokens):
        if place in added:
            special = added[place].get("special", False)
            kind = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        else:
            kind = gguf.TokenType.NORMAL if token in vocabulary else gguf.TokenType.UNUSED
        found.append(int(kind))
    return found


def _pattern_name(pre_tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a text is split before the merges."""
    text = json.dumps(pre_tokenizer, ensure_ascii=False)
    for part, name in PATTERNS.items():
        if part in text:
            return name
    if '"ByteLevel"' not in text:
        raise _refused("pre_tokenizer", "ByteLevel", text[:100])
    return BYTE_LEVEL


def _add_special(writer: gguf.GGUFWriter, config: Mapping[str, Any], tokens: list[str]) -> None:
    named = special_tokens(config)
    places = {token: place for place, token in enumerate(tokens)}
    for name, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        if named.get(name) in places:
            add(places[named[name]])
    writer.add_add_bos_token(bool(config.get("add_bos_token", False)))
    template = config.get("chat_template")
    if isinstance(template, str):
        writer.add_chat_template(template)


def _refused(where: str, expected: str, found: str) -> BundleError:
    return BundleError(f"tokenizer.json: {where}", expected, found, REMEDY)
