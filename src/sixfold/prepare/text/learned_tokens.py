"""Examples of a fine-tuning as the ids of their tokens, and which of them are learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError, SixfoldError
from sixfold.parts.conversation import (
    ALIKE,
    Completion,
    Conversation,
    Preference,
    holds_preferences,
    read_text,
    text_of,
)
from sixfold.parts.stored_texts import DerivedTexts
from sixfold.parts.stored_tokens import Encoder, StoredTokens, TokenRow, store
from sixfold.parts.table import BoolArray
from sixfold.parts.text_tokenizer import TextTokenizer
from sixfold.prepare.text.chat_text import ChatTemplate, LearnedText
from sixfold.recipe.chat_template import special_tokens

SHOWN: Final = 60  # characters of an example that cannot be used
Ids = npt.NDArray[np.int32]


class LearnedTokens(NamedTuple):
    """`ids`: int32 [tokens]; `learned`: [tokens], what the model is to say; `size_bytes`: of that, as
    text in UTF-8.
    """

    ids: Ids
    learned: BoolArray
    size_bytes: int


@dataclass(frozen=True)
class ExampleTokens:
    """`library`: a `tokenizers.Tokenizer` by which special tokens in a text are tokens; `plain`: one by
    which they are text; `continuing`: the same, of texts that go on with another. `start`, `end`: ids
    before and after a text that is no chat.
    """

    library: Any
    plain: Any
    continuing: Any
    template: ChatTemplate
    start: int
    end: int

    @classmethod
    def by(cls, tokenizer: TextTokenizer) -> Self:
        """As a tokenizer's files say."""
        settings = tokenizer.settings()
        template = ChatTemplate(
            tokenizer.chat_template, special_tokens(settings), tokenizer.marks()
        )
        return cls(
            tokenizer.library(False),
            tokenizer.library(True),
            tokenizer.continuing(),
            template,
            tokenizer.start,
            tokenizer.end,
        )

    def of(self, example: Conversation | Completion) -> LearnedTokens:
        """Raises DataError where the chat template refuses the messages."""
        if isinstance(example, Completion):
            return self._completion(example)
        if not self.template.source:
            raise DataError(
                "messages",
                "a tokenizer with a chat template",
                "one without",
                "Add chat_template to its tokenizer_config.json, or use rows of prompt and completion.",
            )
        return self.of_text(self.template.rendered(example))

    def of_text(self, text: LearnedText) -> LearnedTokens:
        """A token is learned where it reaches into a place that is, as transformers has it."""
        encoded = self.library.encode(text.text, add_special_tokens=False)
        learned = np.zeros(len(encoded.ids), dtype=np.bool_)
        offsets = np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2)
        size = 0
        for start, end in text.places:
            learned |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
            said = text.text[start:end]
            for mark in self.template.marks:
                said = said.removesuffix(mark)
            size += len(said.encode("utf-8", "surrogatepass"))
        return LearnedTokens(np.array(encoded.ids, dtype=np.int32), learned, size)

    def _completion(self, example: Completion) -> LearnedTokens:
        """The start, the prompt, the answer and the end; prompt and answer are encoded apart, as a
        server encodes a prompt alone.
        """
        prompt = self.plain.encode(example.prompt, add_special_tokens=False).ids
        coder = self.continuing if prompt else self.plain
        answer = coder.encode(example.answer, add_special_tokens=False).ids
        ids = np.array([self.start, *prompt, *answer, self.end], dtype=np.int32)
        learned = np.arange(len(ids)) > len(prompt)
        return LearnedTokens(ids, learned, len(example.answer.encode("utf-8", "surrogatepass")))


def stored_examples(texts: Sequence[str], tokenizer: TextTokenizer) -> StoredTokens:
    """Rows that hold examples (`parts.conversation`), all preferences or none. Raises DataError for one
    that the chat template refuses, or that has no token to learn.
    """
    encode = _encoder(ExampleTokens.by(tokenizer))
    if not holds_preferences(texts):
        return store(texts, tokenizer, encode, whole=True)
    chosen, rejected = (
        store(DerivedTexts(texts, partial(_side, side)), tokenizer, encode, whole=True)
        for side in (0, 1)
    )
    return replace(chosen, rejected=rejected)


def _side(side: int, text: str) -> str:
    """The better answer of a preference, with its prompt (0), or the other one (1)."""
    example = read_text(text)
    if not isinstance(example, Preference):
        raise DataError("a row", "a preference, as the others", "an example of another kind", ALIKE)
    return text_of(example.rejected if side else example.chosen)


def _encoder(tokens: ExampleTokens) -> Encoder:
    def encode(texts: Sequence[str]) -> Iterator[TokenRow]:
        for text in texts:
            example = read_text(text)
            try:
                if isinstance(example, Preference):
                    raise DataError("a row", "an example, as the others", "a preference", ALIKE)
                yield _marked(tokens.of(example))
            except SixfoldError as error:
                where = f"the example that begins {text[:SHOWN]!r}: {error.where}"
                raise DataError(where, error.expected, error.found, error.remedy) from None

    return encode


def _marked(found: LearnedTokens) -> TokenRow:
    """Ids up to the last that is learned; the first one is none, as nothing stands before it. Raises
    DataError where none is learned.
    """
    learned = found.learned.copy()
    learned[:1] = False
    if not learned.any():
        raise DataError("messages", "a token to learn", "none", "Look at the chat template.")
    last = int(np.flatnonzero(learned)[-1]) + 1
    return TokenRow(np.where(learned, found.ids, ~found.ids)[:last], found.size_bytes)
