"""From a text to the numbers of its pieces: what training and serving share. It needs the package
`tokenizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from sixfold.core.texts import TextForm
from sixfold.recipe.texts import TokenPieces

LONGEST_WORD: Final = (
    100  # characters of a word that is cut into pieces; longer ones are unknown, as in BERT
)


class TokenReader:
    """A tokenizer that is put together of a description's parts: none is read from a file, so
    nothing else comes in. Calls may come from several threads at once.
    """

    def __init__(self, described: TokenPieces) -> None:
        self.described = described
        own = described.kind == "word_pieces"  # BERT lowers case in its own way: ß stays ß
        self._form = TextForm(
            described.unicode, "keep" if own else described.case, described.longest
        )
        self._tokenizer = tokenizer_of(described)
        self._kept = described.length - len(described.before) - len(described.after)

    def read(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Texts, '' for a missing one → [rows, length]: longer ones are cut, shorter ones filled
        up.
        """
        described = self.described
        found = np.full((len(texts), described.length), described.padding, dtype=np.int64)
        for row, text in zip(found, texts, strict=True):
            ids = [*described.before, *self.tokens(text)[: self._kept], *described.after]
            row[: len(ids)] = ids
        return found

    def tokens(self, text: str) -> list[int]:
        """All of one text, before anything is cut or added."""
        ids: list[int] = self._tokenizer.encode(self._form.normalized(text)).ids
        return ids

    def texts(self, tokens: Sequence[int]) -> list[str]:
        """What each token stands for."""
        pieces = [self.described.pieces[token] for token in tokens]
        if self.described.kind != "byte_pairs":
            return pieces
        bytes_of = decoders.ByteLevel()
        return [bytes_of.decode([piece]) for piece in pieces]

    def longer(self, texts: Sequence[str]) -> int:
        """How many texts are cut."""
        return sum(len(self.tokens(text)) > self._kept for text in texts)


def tokenizer_of(described: TokenPieces) -> Tokenizer:
    """Raises ValueError for pieces of which none can be made."""
    vocabulary = {piece: place for place, piece in enumerate(described.pieces)}
    if described.kind == "byte_pairs":
        merges = [
            (described.pieces[left], described.pieces[right]) for left, right in described.merges
        ]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return tokenizer
    unknown = described.pieces[described.unknown]
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=LONGEST_WORD)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=not described.accents,
        lowercase=described.case == "fold",
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
