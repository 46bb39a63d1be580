"""Tokens of a byte-level BPE that is trained on the training rows: from a text to the numbers of its pieces.

Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, 2016; on bytes, as in Radford and others,
Language models are unsupervised multitask learners, 2019: no text is without tokens, whatever its script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from sixfold.core.texts import LONGEST, TextForm
from sixfold.parts.fit import FeatureKind
from sixfold.parts.state import State
from sixfold.parts.table import IntArray
from sixfold.prepare.step import FittedFeatures, Role, Takes, Training
from sixfold.recipe.section import Section
from sixfold.recipe.texts import LONGEST_READ

PAD: Final = "\x00"  # token 0, which fills up shorter rows: no normalized text holds this character
BYTES: Final = 256  # first pieces; the others are learned


@dataclass(frozen=True)
class Tokens(State):
    """`tokenizer`: the content of a tokenizer.json. `length`: tokens a row, of which the first are kept; `size`: pieces."""

    tokenizer: str
    length: int
    size: int
    unicode: Literal["NFKC", "NFC", "none"]
    case: Literal["fold", "keep"]
    longest: int

    @property
    def kind(self) -> FeatureKind:
        """Codes in their order."""
        return "tokens"

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_str(self.tokenizer)

    def transform(self, texts: Sequence[str]) -> IntArray:
        """Texts → int64 [rows, length]: 0 where a text is shorter; what is longer is cut off."""
        form = TextForm(self.unicode, self.case, self.longest)
        encoded = self._tokenizer.encode_batch_fast([form.normalized(text) for text in texts])
        result = np.zeros((len(texts), self.length), dtype=np.int64)
        for row, found in zip(result, encoded, strict=True):
            ids = found.ids[: self.length]
            row[: len(ids)] = ids
        return result

    def cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than a row."""
        form = TextForm(self.unicode, self.case, self.longest)
        encoded = self._tokenizer.encode_batch_fast([form.normalized(text) for text in texts])
        return sum(len(found.ids) > self.length for found in encoded)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`body token 1` … each one of `size` codes."""
        return tuple(FittedFeatures(f"{names[0]} token {at + 1}", 0, self.size) for at in range(self.length))


class Settings(Section):
    """Pieces of words (byte-level BPE) that the training texts are made of, as numbers: for networks that read texts."""

    takes: ClassVar[frozenset[Takes]] = frozenset({"text"})
    role: ClassVar[Role] = "change"

    size: int = Field(8_000, gt=BYTES + 1, le=200_000, description="Different pieces, with those of one byte.")
    length: int | Literal["auto"] = Field(
        "auto",
        description="Tokens a text, at least 1; longer ones are cut. auto: so that 95% of the training texts are whole.",
    )
    min_rows: int = Field(2, ge=1, description="How often two pieces have to stand together to become one.")
    unicode: Literal["NFKC", "NFC", "none"] = Field("NFC", description="Unicode form that texts are brought into.")
    case: Literal["fold", "keep"] = Field("keep", description="Whether upper and lower case are one.")
    longest: int = Field(LONGEST, ge=1, le=LONGEST_READ, description="Characters of a text that are read.")

    def fit(self, texts: Sequence[str], training: Training) -> Tokens:
        """Pieces of the training texts, and no others."""
        form = TextForm(self.unicode, self.case, self.longest)
        read = [form.normalized(text) for text in texts]
        tokenizer = _trained(read, self.size, self.min_rows)
        length = self.length if isinstance(self.length, int) else _length(tokenizer, read)
        return Tokens(tokenizer.to_str(), length, tokenizer.get_vocab_size(), self.unicode, self.case, self.longest)


def _trained(texts: Sequence[str], size: int, least: int) -> Tokenizer:
    """By the counts of words alone, in one order: the same texts in another order give the same pieces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=least, special_tokens=[PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer


def _length(tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    """The 95th percentile of the texts' tokens, a multiple of 8, at most 512."""
    counts = [len(found.ids) for found in tokenizer.encode_batch_fast(list(texts))]
    wanted = float(np.percentile(counts, 95, method="inverted_cdf")) if counts else 1.0
    return min(512, max(8, 8 * -(-int(np.ceil(wanted)) // 8)))
