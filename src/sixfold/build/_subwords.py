"""Pieces of words that are learned from texts: byte-pair encoding, of characters (Sennrich, Haddow and Birch,
Neural machine translation of rare words with subword units, ACL 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sixfold.bundle.transcription.subwords import SPACE, pieces_of
from sixfold.parts.table import IntArray
from sixfold.recipe.ctc_decoder import LONGEST_PIECE


def learned(texts: Iterable[str], vocabulary: int) -> tuple[str, ...]:
    """The characters of some texts, in the order of their code points, then pieces in the order in which
    they were learned, `vocabulary` in all (fewer where the texts have no more pairs, more where they have
    more characters). The same texts in another order give the same pieces.
    """
    spelled = sorted(map(spelled_out, texts))
    characters = sorted(set("".join(spelled)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary, len(characters)),
        min_frequency=2,
        max_token_length=LONGEST_PIECE,
        initial_alphabet=characters,
        show_progress=False,
    )
    tokenizer.train_from_iterator(spelled, trainer)
    places = tokenizer.get_vocab()
    pieces = sorted((piece for piece in places if len(piece) > 1), key=places.__getitem__)
    return (*characters, *pieces)


def spelled_out(text: str) -> str:
    """With a space before its first word, too; of nothing, nothing."""
    return SPACE + text if text else ""


def divided(texts: Sequence[str], alphabet: Sequence[str]) -> IntArray:
    """[texts, symbols] places in an alphabet that was learned, from 1, and 0 behind a text's end: of two
    neighbors that are a piece together, those become one that were learned first. A character that is not
    there is left out.
    """
    places = {piece: at for at, piece in enumerate(alphabet, 1)}

    @cache
    def of_word(word: str) -> tuple[int, ...]:
        return tuple(places[piece] for piece in pieces_of(word, places) if piece in places)

    rows = [[at for word in text.split() for at in of_word(word)] for text in texts]
    found = np.zeros((len(rows), max(1, *map(len, rows))), dtype=np.int64)
    for row, symbols in zip(found, rows, strict=True):
        row[: len(symbols)] = symbols
    return found
