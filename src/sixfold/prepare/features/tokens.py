"""Tokens of a byte-level BPE that is trained on the training rows: from a text to the numbers of
its pieces.

Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units, 2016; on
bytes, as in Radford and others, Language models are unsupervised multitask learners, 2019: no text
is without tokens, whatever its script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sixfold.bundle.tokens import TokenReader
from sixfold.core.errors import DataError
from sixfold.core.texts import LONGEST, TextForm
from sixfold.parts import checkpoint_files
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER
from sixfold.parts.fit import FeatureKind
from sixfold.parts.state import State
from sixfold.parts.table import IntArray
from sixfold.prepare.step import FittedFeatures, Role, Takes, Training
from sixfold.prepare.text.checkpoint_tokens import LIMIT_FILE, read_checkpoint_tokens, tokens_limit
from sixfold.recipe.section import Section
from sixfold.recipe.texts import LONGEST_READ, LONGEST_ROW, MOST_PIECES, TextInput, TokenPieces

PAD: Final = "\x00"  # token 0, which fills up shorter rows: no normalized text holds this character
OF_LEARNED: Final = {
    "size",
    "min_rows",
    "unicode",
    "case",
}  # options that a checkpoint's tokens have not
BYTES: Final = 256  # first pieces; the others are learned


@dataclass(frozen=True)
class Tokens(State):
    """`cut`: how many of the training texts, `texts`, are longer than a row. `tokenizer`: SHA-256
    of the checkpoint's whose pieces these are; '' where they were learned.
    """

    grows: ClassVar[bool] = False
    pieces: TokenPieces
    texts: int
    cut: int
    tokenizer: str = ""

    @property
    def kind(self) -> FeatureKind:
        """Codes in their order."""
        return "tokens"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, in sentences about the column."""
        length, size = self.pieces.length, len(self.pieces.pieces)
        return (
            f"{size:,} pieces, {length} tokens a text; {self.cut:,} of {self.texts:,} training texts are cut",
        )

    @cached_property
    def _reader(self) -> TokenReader:
        return TokenReader(self.pieces)

    def transform(self, texts: Sequence[str]) -> IntArray:
        """Texts → int64 [rows, length]: 0 where a text is shorter; what is longer is cut off."""
        return self._reader.read(texts)

    def described(self, column: str) -> TextInput:
        """For the encoder of texts."""
        return TextInput(name="text_0", column=column, tokens=self.pieces)

    def features(self, names: Sequence[str]) -> tuple[FittedFeatures, ...]:
        """`body token 1` … each one of so many codes as there are pieces."""
        size = len(self.pieces.pieces)
        return tuple(
            FittedFeatures(f"{names[0]} token {at + 1}", 0, size)
            for at in range(self.pieces.length)
        )


class Settings(Section):
    """Pieces of words (byte-level BPE) that the training texts are made of, as numbers: for
    networks that read texts.
    """

    takes: ClassVar[frozenset[Takes]] = frozenset({"text"})
    role: ClassVar[Role] = "change"

    size: int = Field(
        8_000, gt=BYTES + 1, le=MOST_PIECES, description="Different pieces, with those of one byte."
    )
    length: Literal["auto"] | Annotated[int, Field(ge=1, le=LONGEST_ROW)] = Field(
        "auto",
        description="Tokens a text; longer ones are cut. auto: 95% of the training texts are whole; at most 512.",
    )
    min_rows: int = Field(
        2, ge=1, description="How often two pieces have to stand together to become one."
    )
    unicode: Literal["NFKC", "NFC", "none"] = Field(
        "NFC", description="Unicode form that texts are brought into."
    )
    case: Literal["fold", "keep"] = Field(
        "keep", description="Whether upper and lower case are one."
    )
    longest: int = Field(
        LONGEST, ge=1, le=LONGEST_READ, description="Characters of a text that are read."
    )
    checkpoint: str | None = Field(
        None,
        min_length=1,
        description="Folder of a checkpoint whose own tokens they are; nothing is learned then.",
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        given = self.model_dump(include=OF_LEARNED, exclude_defaults=True)
        if self.checkpoint is not None and given:
            raise ValueError(
                f"{next(iter(given))} is for pieces that are learned: a checkpoint has its own"
            )
        return self

    def content_digest(self) -> str:
        """SHA-256 of the checkpoint's tokenizer and configuration; '' without one."""
        if self.checkpoint is None:
            return ""
        folder = Path(self.checkpoint)
        return checkpoint_files.digest(
            folder, checkpoint_files.present(folder, (CONFIG, TOKENIZER), (LIMIT_FILE,))
        )

    def fit(self, texts: Sequence[str], training: Training) -> Tokens:
        """Pieces of the training texts, or a checkpoint's. Raises DataError for a folder that is
        none.
        """
        return (
            self._learned(texts)
            if self.checkpoint is None
            else self._of_checkpoint(Path(self.checkpoint), texts)
        )

    def _of_checkpoint(self, folder: Path, texts: Sequence[str]) -> Tokens:
        """Only how long a row is follows from the texts."""
        checkpoint_files.present(folder, (CONFIG, TOKENIZER))
        most = min(tokens_limit(folder), LONGEST_ROW)
        if self.length != "auto" and self.length > most:
            remedy = "Lower it, or leave it out."
            raise DataError(
                "prepare, tokens", f"length of at most {most}", str(self.length), remedy
            )
        described = read_checkpoint_tokens(folder, most, self.longest)
        reader, around = TokenReader(described), len(described.before) + len(described.after)
        counts = [len(reader.tokens(text)) + around for text in texts]
        length = derived_length(counts, min(most, 512)) if self.length == "auto" else self.length
        if length <= around:
            raise DataError(
                "prepare, tokens", f"length of at least {around + 1}", str(length), "Raise it."
            )
        whole, tokenizer = (
            described.model_copy(update={"length": length}),
            checkpoint_files.digest(folder, [TOKENIZER]),
        )
        return Tokens(whole, len(counts), sum(count > length for count in counts), tokenizer)

    def _learned(self, texts: Sequence[str]) -> Tokens:
        """Pieces of these texts, and no others."""
        form = TextForm(self.unicode, self.case, self.longest)
        pieces, merges = _trained(
            [form.normalized(text) for text in texts], self.size, self.min_rows
        )
        described = TokenPieces(
            kind="byte_pairs",
            unicode=self.unicode,
            case=self.case,
            longest=self.longest,
            pieces=pieces,
            merges=merges,
            length=LONGEST_ROW if self.length == "auto" else self.length,
        )
        reader = TokenReader(described)
        counts = [len(reader.tokens(text)) for text in texts]
        length = derived_length(counts) if self.length == "auto" else self.length
        whole = described.model_copy(update={"length": length})
        return Tokens(whole, len(counts), sum(count > length for count in counts))


def _trained(
    texts: Sequence[str], size: int, least: int
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Pieces and merges, by the counts of words alone, in one order: the same texts in another
    order give the same pieces.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=[PAD],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    place = model["vocab"]
    merges = tuple((place[left], place[right]) for left, right in model["merges"])
    return tuple(sorted(place, key=place.__getitem__)), merges


def derived_length(counts: Sequence[int], most: int = 512) -> int:
    """The 95th percentile of the texts' tokens, a multiple of 8."""
    wanted = float(np.percentile(counts, 95, method="inverted_cdf")) if len(counts) else 1.0
    return min(most, max(8, 8 * -(-math.ceil(wanted) // 8)))
