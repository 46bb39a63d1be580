"""From tokens to text while they come: whole characters only, and nothing behind a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tokenizers.decoders import DecodeStream

from sixfold.bundle.language.requests import Finish, Piece, overlap
from sixfold.bundle.language.tokens import LanguageTokens

NEAR: Final = (
    8  # tokens before an answer that its first one is read with: more than a character has
)


class AnswerText:
    """The text of one answer. `finish`: why it ended; None while it goes on.

    `ids`, `logprobs`: of the tokens that it is made of. `count`: tokens that were generated, the
    one that ended it among them. `stops`: where one appears, the answer ends before it; what may
    become one is held back, so that it may lie across tokens. `before`: the tokens of a text that the
    answer goes on with; the space before its first word is kept, which begins no text of its own.
    """

    def __init__(
        self, tokens: LanguageTokens, stops: Sequence[str] = (), before: Sequence[int] = ()
    ) -> None:
        self._tokens, self._stops = tokens, tuple(stops)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._before = list(before[-NEAR:])
        for place in self._before:
            self._stream.step(tokens.tokenizer, place)
        self._decoded = self._held = ""
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.count = 0
        self.finish: Finish | None = None

    def add(self, piece: Piece) -> str:
        """The text that is new."""
        self.count += len(piece.ids)
        new = ""
        for at, place in enumerate(piece.ids):
            last = piece.finish is not None and at == len(piece.ids) - 1
            if self.finish is not None or (last and self._is_end(place, piece)):
                break
            self.ids.append(place)
            self.logprobs += piece.logprobs[at : at + 1]
            new += self._take(self._stream.step(self._tokens.tokenizer, place) or "")
        if piece.finish is not None and self.finish is None:
            new += self._end(piece.finish)
        return new

    def _is_end(self, place: int, piece: Piece) -> bool:
        """The token that ends an answer is no part of it."""
        return piece.finish == "stop" and place in self._tokens.end

    def _take(self, text: str) -> str:
        """What of it, and of what was held back, may be given."""
        self._decoded += text
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.finish = "stop"
        keep = max((overlap(self._held, stop) for stop in self._stops), default=0)
        cut = min(found, default=len(self._held) - keep)
        given, self._held = self._held[:cut], self._held[cut:]
        return given

    def _end(self, finish: Finish) -> str:
        """What is left of a character that never became whole, and what was held back."""
        whole = self._tokens.decode(self.ids, self._before)
        given = self._take(whole.removeprefix(self._decoded) if self._decoded != whole else "")
        if self.finish is not None:
            return given
        self.finish = finish
        return given + self._held
