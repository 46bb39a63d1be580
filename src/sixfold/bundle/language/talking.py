"""A conversation with a language model, or a text that it goes on with: one answer after the other."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sixfold.bundle.language.model import LanguageRuntime
from sixfold.bundle.language.requests import MOST_SEED, GenerationRequest, Piece, Sampling
from sixfold.core.errors import RowError

CONTENT: Final = "content"


@dataclass
class Chat:
    """What was said so far. `max_tokens`: of an answer; without a chat template each text stands
    for itself.

    With a seed the same messages get the same answers.
    """

    model: LanguageRuntime
    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None
    max_tokens: int = 256
    messages: list[dict[str, str]] = field(default_factory=list)

    @property
    def chats(self) -> bool:
        """Whether the model was given a chat template."""
        return self.model.tokens.template is not None

    def say(self, text: str) -> Iterator[str]:
        """The answer, piece by piece; what was said is kept once it is whole. Raises RowError where
        it does not fit the model's context.
        """
        asked = [*self.messages, {"role": "user", CONTENT: text}]
        tokens = self.model.tokens
        prompt = tuple(tokens.chat(asked) if self.chats else tokens.prompt(text))
        room = tokens.context - len(prompt)
        if room < 1 or not prompt:
            raise RowError(
                "the conversation",
                f"at most {tokens.context:,} tokens: that is this model's context",
                f"{len(prompt):,}",
                "Start anew, or say less.",
            )
        seed = secrets.randbelow(MOST_SEED) if self.seed is None else self.seed
        request = GenerationRequest(
            prompt,
            min(room, self.max_tokens),
            replace(self.sampling, seed=seed),
            end=tokens.end,
        )
        answer = ""
        for new in self._generated(request, () if self.chats else prompt):
            answer += new
            yield new
        self.messages = [*asked, {"role": "assistant", CONTENT: answer}]

    def _generated(self, request: GenerationRequest, before: tuple[int, ...]) -> Iterator[str]:
        pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        text, ticket = self.model.answer_text((), before), self.model.submit(request, pieces.put)
        try:
            while text.finish is None:
                piece = pieces.get()
                if piece.error is not None:
                    raise piece.error
                if new := text.add(piece):
                    yield new
        finally:
            ticket.cancel()
