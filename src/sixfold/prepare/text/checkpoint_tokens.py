"""The tokens of a local checkpoint that is fine-tuned: its own tokenizer, of BERT's kind or of
RoBERTa's, from tokenizer.json.

Of both kinds the padding is the first token here, in exchange with what stood there, as of tokens
that are learned; the network does the same with its vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sixfold.core.errors import DataError
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER, read_json
from sixfold.prepare.text.word_pieces import read_word_pieces
from sixfold.recipe.texts import TokenPieces

BYTE_PAIRS: Final = "BPE"
ANOTHER: Final = "Choose a checkpoint of the kind of BERT, DistilBERT, ELECTRA or RoBERTa."
LIMIT_FILE: Final = "sentence_bert_config.json"  # sentence-transformers' own limit


def read_checkpoint_tokens(folder: Path, length: int, longest: int) -> TokenPieces:
    """Rows of `length` tokens, of the first `longest` characters of a text. Raises DataError for
    another tokenizer.
    """
    checkpoint_files.present(folder, (CONFIG, TOKENIZER))
    model = _section(read_json(folder / TOKENIZER), "model")
    byte_pairs = model.get("type") == BYTE_PAIRS
    pieces = (read_byte_pairs if byte_pairs else read_word_pieces)(folder, length, longest)
    own = _section(read_json(folder / CONFIG), "").get("pad_token_id")
    if own != pieces.padding:
        found = f"pad_token_id {own!r} in {CONFIG}"[:120]
        raise DataError(
            str(folder / TOKENIZER), f"the padding at place {pieces.padding}", found, ANOTHER
        )
    return padding_first(pieces)


def tokens_limit(folder: Path) -> int:
    """Tokens of a text that the checkpoint can read. Raises DataError."""
    config = _section(read_json(folder / CONFIG), "")
    most, padding = config.get("max_position_embeddings"), config.get("pad_token_id") or 0
    if not isinstance(most, int) or not isinstance(padding, int):
        raise DataError(str(folder / CONFIG), "max_position_embeddings", repr(most)[:80], ANOTHER)
    if config.get("model_type") == "roberta":
        most -= padding + 1
    own = read_json(folder / LIMIT_FILE) if (folder / LIMIT_FILE).is_file() else {}
    limit = own.get("max_seq_length") if isinstance(own, dict) else None
    return min(most, limit) if isinstance(limit, int) and limit > 0 else most


def read_byte_pairs(folder: Path, length: int, longest: int) -> TokenPieces:
    """RoBERTa's tokenizer: GPT-2's splitting into words, merges of bytes, `<s>` before and `</s>`
    behind.
    """
    file = folder / TOKENIZER
    read = read_json(file)
    splitting, model = _section(read, "pre_tokenizer"), _section(read, "model")
    expected = {
        "normalizer": (read.get("normalizer"), None),
        "pre_tokenizer.type": (splitting.get("type"), "ByteLevel"),
        "pre_tokenizer.add_prefix_space": (splitting.get("add_prefix_space"), False),
        "pre_tokenizer.use_regex": (splitting.get("use_regex", True), True),
        "model.unk_token": (model.get("unk_token"), None),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix") or "", ""),
        "model.end_of_word_suffix": (model.get("end_of_word_suffix") or "", ""),
        "model.dropout": (model.get("dropout"), None),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise DataError(str(file), f"{name}: {json.dumps(wanted)}", repr(found)[:80], ANOTHER)
    try:
        place = model["vocab"]
        pieces = sorted(place, key=place.__getitem__)
        if {piece: at for at, piece in enumerate(pieces)} != place:
            raise ValueError("places that are not 0, 1, 2 …")
        pairs = (one.split(" ") if isinstance(one, str) else one for one in model["merges"])
        return TokenPieces(
            kind="byte_pairs",
            unicode="none",
            case="keep",
            longest=longest,
            pieces=tuple(pieces),
            merges=tuple((place[left], place[right]) for left, right in pairs),
            before=(place["<s>"],),
            after=(place["</s>"],),
            padding=place["<pad>"],
            length=length,
        )
    except (KeyError, TypeError, ValidationError, ValueError) as error:
        text = (str(error).splitlines() or [""])[0][:200]
        raise DataError(
            str(file), "a vocabulary with <pad>, <s> and </s>, and merges of it", text, ANOTHER
        ) from None


def padding_first(pieces: TokenPieces) -> TokenPieces:
    """The same with the padding at place 0, in exchange with what stood there."""
    places = {0: pieces.padding, pieces.padding: 0}

    def moved(some: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(places.get(one, one) for one in some)

    names = list(pieces.pieces)
    names[0], names[pieces.padding] = names[pieces.padding], names[0]
    changed = {
        "pieces": tuple(names),
        "merges": tuple(moved(pair) for pair in pieces.merges),
        "before": moved(pieces.before),
        "after": moved(pieces.after),
        "unknown": places.get(pieces.unknown, pieces.unknown),
        "padding": 0,
    }
    return pieces.model_copy(update=changed)


def _section(read: Any, name: str) -> dict[str, Any]:
    """A mapping in a file of JSON, or the file's own; empty where there is none."""
    found = read.get(name) if name and isinstance(read, dict) else read
    return found if isinstance(found, dict) else {}
