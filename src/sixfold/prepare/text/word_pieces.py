"""The tokenizer of a checkpoint of BERT's kind, from its tokenizer.json to the description that a
bundle carries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sixfold.core.errors import DataError
from sixfold.parts.checkpoint_files import read_json
from sixfold.prepare.text.bert import ANOTHER
from sixfold.recipe.texts import TokenPieces


def read_word_pieces(folder: Path, length: int, longest: int) -> TokenPieces:
    """Rows of `length` tokens, of the first `longest` characters of a text. Raises DataError for a
    tokenizer of another kind: nothing but BERT's own rules is followed.
    """
    file = folder / "tokenizer.json"
    read = read_json(file)
    _check_rules(read, file)
    normalizer, vocabulary = read["normalizer"], read["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    place = {piece: at for at, piece in enumerate(pieces)}
    lower, strip = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    try:
        if place != vocabulary:
            raise ValueError("places that are not 0, 1, 2 …")
        return TokenPieces(
            kind="word_pieces",
            unicode="none",
            case="fold" if lower else "keep",
            longest=longest,
            accents=not (lower if strip is None else strip),
            pieces=tuple(pieces),
            unknown=place[read["model"]["unk_token"]],
            before=(place["[CLS]"],),
            after=(place["[SEP]"],),
            padding=place["[PAD]"],
            length=length,
        )
    except (KeyError, ValidationError, ValueError) as error:
        text = str(error).splitlines()[0][:200]
        raise DataError(
            str(file), "a vocabulary with [PAD], [CLS] and [SEP]", text, ANOTHER
        ) from None


def _check_rules(read: Any, file: Path) -> None:
    expected = {
        ("model", "type"): "WordPiece",
        ("model", "continuing_subword_prefix"): "##",
        ("normalizer", "type"): "BertNormalizer",
        ("normalizer", "clean_text"): True,
        ("normalizer", "handle_chinese_chars"): True,
        ("pre_tokenizer", "type"): "BertPreTokenizer",
    }
    for (part, key), wanted in expected.items():
        section = read.get(part) if isinstance(read, dict) else None
        found = section.get(key) if isinstance(section, dict) else None
        if found != wanted:
            raise DataError(str(file), f"{part}.{key}: {wanted}", repr(found)[:80], ANOTHER)
