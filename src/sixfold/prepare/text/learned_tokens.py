"""Examples of a fine-tuning as the ids of their tokens, and which of them are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.core.errors import DataError
from sixfold.parts.conversation import Completion, Conversation
from sixfold.parts.table import BoolArray
from sixfold.prepare.text.chat_text import ChatTemplate, LearnedText

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
    which they are text. `start`, `end`: ids before and after a text that is no chat.
    """

    library: Any
    plain: Any
    template: ChatTemplate
    start: int
    end: int

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
        texts = [example.prompt, example.answer]
        prompt, answer = (self.plain.encode(text, add_special_tokens=False).ids for text in texts)
        ids = np.array([self.start, *prompt, *answer, self.end], dtype=np.int32)
        learned = np.arange(len(ids)) > len(prompt)
        return LearnedTokens(ids, learned, len(example.answer.encode("utf-8", "surrogatepass")))
