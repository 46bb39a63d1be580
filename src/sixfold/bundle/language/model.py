"""A language model that is ready to answer: its tokens, and the engine that generates."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from sixfold.bundle.gguf_header import GgufHeader
from sixfold.bundle.language import parity
from sixfold.bundle.language.answer_text import NEAR, AnswerText
from sixfold.bundle.language.attention_rollout import Attentions
from sixfold.bundle.language.engine import Engine, EngineLimits, Ticket
from sixfold.bundle.language.hidden_states import HiddenStates
from sixfold.bundle.language.leave_one_out import AskedPrompt, changes_of, rollout_of
from sixfold.bundle.language.requests import Deliver, GenerationRequest, Piece, Sampling
from sixfold.bundle.language.tokens import LanguageTokens
from sixfold.bundle.runtime import Arrays, Outputs, Proved
from sixfold.core.errors import RowError

MOST_CACHE: Final = (
    1 << 30
)  # bytes of keys and values, where they are not needed for one text; guessed
MEMORY_SHARE: Final = 0.5
SPARE: Final = 64  # tokens: two blocks
NUMBER_BYTES: Final = 4  # of a key or a value: single precision
SCORED: Final = 2  # texts whose prompts are scored at once
CONTINUED: Final = 64  # tokens that `predict` goes on with


class LanguageRuntime:
    """The model of a bundle. Calls may come from several threads at once.

    The model is opened with the first request, or by `start`.
    """

    rows_at_once = 8
    depends_on_batch = False

    def __init__(self, path: Path, header: GgufHeader, tokens: LanguageTokens) -> None:
        self._path, self._header, self.tokens = path, header, tokens
        self.hidden_states = HiddenStates(path, header)
        self.attentions = Attentions(path, header)
        self._sequences, self._threads = self.rows_at_once, 0
        self._engines: dict[bool, Engine] = {}  # by whether it scores prompts
        self._lock = threading.Lock()

    def start(self, sequences: int, threads: int = 0) -> None:
        """Open the model, for so many requests in one batch. `threads` 0: as many as there are
        cores. Raises BundleError.
        """
        self._sequences, self._threads = sequences, threads
        self.engine_of(False)

    def submit(self, request: GenerationRequest, deliver: Deliver) -> Ticket:
        """As the engine's: `deliver` is called by its thread."""
        return self.engine_of(request.echo).submit(request, deliver)

    def complete(self, request: GenerationRequest) -> Piece:
        """The whole answer at once."""
        return self.engine_of(request.echo).complete(request)

    def predict(self, feeds: Arrays, first_row: int = 1) -> Outputs:
        """How each text goes on, by the most probable tokens."""
        texts = next(iter(feeds.values()))[:, 0].tolist()
        return {"text": np.array([self._continued(text) for text in texts], dtype=object)}

    def language_model(self) -> LanguageRuntime:
        """Itself."""
        return self

    def prove(self, stored: bytes, where: str) -> Proved:
        """Score the stored texts again. Raises BundleError where they disagree."""
        texts = parity.unpacked(stored, where)
        worst = parity.check_texts(self, texts, where)
        told = (
            f"{len(texts):,} stored texts tokenized, answered and scored again, "
            f"largest difference of a log-probability {worst:.1e}"
        )
        return Proved(len(texts), worst, told)

    def answer_text(self, stops: Sequence[str] = (), before: Sequence[int] = ()) -> AnswerText:
        """The text of an answer, while it comes. `before`: what it goes on with, where it is no chat."""
        return AnswerText(self.tokens, stops, before)

    def explained(
        self,
        prompt: Sequence[int],
        around: Sequence[int],
        answer: Sequence[int],
        by_attention: bool,
        seconds: float,
    ) -> dict[str, Any]:
        """As JSON which tokens of a prompt an answer of these tokens depends on: what it loses without each, or the
        shares of attention. `around`: the prompt without the user's text. Raises RowError where it would take longer.
        """
        asked = AskedPrompt.within(prompt, around, "a shorter one")
        told = tuple(each for each in answer if each not in self.tokens.end)
        if not told:
            raise RowError("the answer", "a text", "none", "Ask for another.")
        found = (rollout_of if by_attention else changes_of)(self, asked, told, seconds)
        return found.record()

    def close(self) -> None:
        """Requests in work are given up."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()

    def cached_tokens(self, sequences: int) -> int:
        """Whose keys and values are kept: of whole contexts of all sequences, within MOST_CACHE; of
        one context and some more at least, as far as MEMORY_SHARE of the free memory goes.
        """
        header, context = self._header, self.tokens.context
        width = header.number("attention.key_length") * header.number("attention.head_count_kv")
        token_bytes = 2 * header.number("block_count") * width * NUMBER_BYTES
        wanted = max(context + SPARE, min(sequences * context, MOST_CACHE // token_bytes))
        free = int(MEMORY_SHARE * psutil.virtual_memory().available) // token_bytes
        return max(SPARE, min(wanted, free))

    def _continued(self, text: str) -> str:
        prompt = self.tokens.prompt(str(text))[-self.tokens.context + CONTINUED :]
        request = GenerationRequest(
            tuple(prompt) or self.tokens.start,
            CONTINUED,
            Sampling(temperature=0),
            end=self.tokens.end,
        )
        ids: Sequence[int] = self.complete(request).ids
        return self.tokens.decode(ids, prompt[-NEAR:])

    def engine_of(self, scores: bool) -> Engine:
        """The one that generates. The log-probabilities of a prompt are not known of what its cache
        holds already: a second one, without such a cache, `scores` prompts. Each is opened when it
        is first needed.
        """
        with self._lock:
            if scores not in self._engines:
                sequences = SCORED if scores else self._sequences
                cached = self.cached_tokens(sequences)
                limits = EngineLimits(sequences, cached, self._threads, prefix_cache=not scores)
                rows = int(self._header.facts["tokenizer.ggml.tokens"])
                vocabulary = self.tokens.vocabulary(rows)
                self._engines[scores] = Engine(self._path, limits, vocabulary)
            return self._engines[scores]
