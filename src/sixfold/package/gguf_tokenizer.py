"""The tokenizer of a GGUF file, from a checkpoint's `tokenizer.json`: pairs of bytes (`gpt2` there), or of characters as
SentencePiece's (`llama` there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gguf
from tokenizers import Tokenizer

from sixfold.core.errors import BundleError
from sixfold.parts.gguf_shape import check_tokenizer, is_byte_level
from sixfold.recipe.chat_template import special_tokens

# By a part of the pattern that splits a text: llama.cpp's name for the tokenizer that has it.
PATTERNS: Final = {
    r"\\p{N}{1,3}": "llama-bpe",
    r"|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*": "qwen2",
    '"individual_digits": true': "smollm",
}
BYTE_LEVEL: Final = "gpt-2"  # the pattern that a plain ByteLevel has
# Of a tokenizer without merges, as readers ask for some: a byte that no text in UTF-8 has.
NEVER_MERGED: Final = "ÿ ÿ"
BYTE: Final = re.compile(r"<0x[0-9A-F]{2}>")  # of a byte that is part of no other token
REMEDY: Final = "Use a BPE tokenizer, or export the checkpoint alone (--hf)."


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
    types = _types(tokens, added, model)
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    if is_byte_level(described):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_pattern_name(described.get("pre_tokenizer") or {}))
        writer.add_token_merges(merges or [NEVER_MERGED])
    else:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(_scores(tokens, merges))
        writer.add_add_space_prefix(_has_prefix(described))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    _add_special(writer, config, tokens, _puts_around(files["tokenizer.json"]))


def _tokens(vocabulary: Mapping[str, int], added: Mapping[int, Any], size: int) -> list[str]:
    by_id = {place: token for token, place in vocabulary.items()}
    by_id |= {place: str(each["content"]) for place, each in added.items()}
    if max(by_id, default=-1) >= size:
        found = f"{max(by_id) + 1} tokens"
        raise _refused("vocabulary", f"at most the model's vocab_size of {size} tokens", found)
    return [by_id.get(place, f"[PAD{place}]") for place in range(size)]


def _types(tokens: Sequence[str], added: Mapping[int, Any], model: Mapping[str, Any]) -> list[int]:
    """A control token stands for no text; a user-defined one is never split."""
    by_bytes = bool(model.get("byte_fallback", False))
    found = []
    for place, token in enumerate(tokens):
        kind = gguf.TokenType.NORMAL if token in model["vocab"] else gguf.TokenType.UNUSED
        if place in added:
            special = added[place].get("special", False)
            kind = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        if by_bytes and token == model.get("unk_token"):
            kind = gguf.TokenType.UNKNOWN
        if by_bytes and BYTE.fullmatch(token):
            kind = gguf.TokenType.BYTE
        found.append(int(kind))
    return found


def _scores(tokens: Sequence[str], merges: Sequence[str]) -> list[float]:
    """SentencePiece merges the pair first that makes the token of the highest score: one point less for
    each token that is made later. A token that nothing makes comes last.
    """
    made: dict[str, float] = {}
    for merge in merges:
        made.setdefault(merge.replace(" ", "", 1), -float(len(made)))
    last = -float(len(made))
    return [made.get(token, last) for token in tokens]


def _has_prefix(described: Mapping[str, Any]) -> bool:
    """Whether a space is put before a text: by the normalizer, or by the split at spaces."""
    text = json.dumps([described.get("normalizer"), described.get("pre_tokenizer")])
    return '"Prepend"' in text or '"first"' in text or '"always"' in text


def _puts_around(content: bytes) -> list[int]:
    """Ids that the tokenizer adds to a text."""
    return list(Tokenizer.from_buffer(content).encode("").ids)


def _pattern_name(pre_tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a text is split before the merges."""
    text = json.dumps(pre_tokenizer, ensure_ascii=False)
    for part, name in PATTERNS.items():
        if part in text:
            return name
    return BYTE_LEVEL


def _add_special(
    writer: gguf.GGUFWriter, config: Mapping[str, Any], tokens: list[str], around: list[int]
) -> None:
    named = special_tokens(config)
    places = {token: place for place, token in enumerate(tokens)}
    for name, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        token = named.get(name)
        if token is not None and token in places:
            add(places[token])
    bos = named.get("bos_token")
    writer.add_add_bos_token(bos is not None and places.get(bos, -1) in around)
    template = config.get("chat_template")
    if isinstance(template, str):
        writer.add_chat_template(template)


def _refused(where: str, expected: str, found: str) -> BundleError:
    return BundleError(f"tokenizer.json: {where}", expected, found, REMEDY)
