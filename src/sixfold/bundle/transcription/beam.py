"""Texts by the sum over all of their paths, and by how probable they are as texts: prefix beam search
(Graves and Jaitly, Towards end-to-end speech recognition with recurrent neural networks, ICML 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from sixfold.bundle.transcription.characters import CharacterModel
from sixfold.bundle.transcription.paths import BLANK, Scores
from sixfold.recipe.ctc_decoder import END, CtcDecoder

NEVER: Final = -math.inf
LEAST: Final = (
    12.0  # ln of how many times less probable than a frame's best a symbol is that is not tried
)


@dataclass(frozen=True)
class Hypothesis:
    """A text, the symbols that spell it, and its score: ln of the probability of all of its paths, of the text
    itself by its weight, and a bonus for every character.
    """

    text: str
    symbols: tuple[int, ...]
    score: float


class _Ways(NamedTuple):
    """ln of the probability of all paths so far of a prefix: those that end with a blank, and the others."""

    blank: float = NEVER
    symbol: float = NEVER

    @property
    def both(self) -> float:
        return _sum(self.blank, self.symbol)


class _Spelled(NamedTuple):
    """A prefix as a text, and what it has besides its paths."""

    text: str
    score: float


Prefix = tuple[int, ...]


class BeamSearch:
    """Keeps the best prefixes, frame after frame. Calls may come from several threads at once."""

    def __init__(self, decoder: CtcDecoder) -> None:
        self._alphabet, self._width = decoder.alphabet, decoder.width
        self._weight, self._bonus = decoder.language_weight, decoder.length_bonus
        self._language = (
            CharacterModel(decoder.ngrams, len(set("".join(decoder.alphabet))))
            if decoder.ngrams and decoder.language_weight
            else None
        )

    def hypotheses(self, logs_TV: Scores) -> list[Hypothesis]:
        """The best first, at least one, at most as many as the search is wide; no text twice."""
        kept: dict[Prefix, _Ways] = {(): _Ways(blank=0.0)}
        spelled: dict[Prefix, _Spelled] = {(): _Spelled("", 0.0)}
        for logs in logs_TV:
            ways = self._extended(kept, logs)
            for prefix in ways:
                if prefix not in spelled:
                    spelled[prefix] = self._longer(spelled[prefix[:-1]], prefix[-1])
            best = sorted(
                ways, key=lambda prefix: (-(ways[prefix].both + spelled[prefix].score), prefix)
            )[: self._width]
            kept = {prefix: ways[prefix] for prefix in best}
            spelled = {prefix: spelled[prefix] for prefix in best}
        return self._texts(kept, spelled)

    def _texts(
        self, kept: dict[Prefix, _Ways], spelled: dict[Prefix, _Spelled]
    ) -> list[Hypothesis]:
        """Pieces may spell one text in several ways, whose paths are all its own: the symbols are those of the
        most probable way.
        """
        found: dict[str, Hypothesis] = {}
        for prefix in sorted(kept, key=lambda prefix: (-kept[prefix].both, prefix)):
            text, more = spelled[prefix]
            score = kept[prefix].both + more + self._end(text)
            first = found.get(text)
            found[text] = (
                Hypothesis(text, prefix, score)
                if first is None
                else replace(first, score=_sum(first.score, score))
            )
        return sorted(found.values(), key=lambda one: (-one.score, one.text))

    def _extended(self, kept: dict[Prefix, _Ways], logs: Scores) -> dict[Prefix, _Ways]:
        """By one frame."""
        tried = np.flatnonzero(logs >= logs.max() - LEAST)
        places = {at: float(logs[at]) for at in tried.tolist() if at != BLANK}
        blank = float(logs[BLANK])
        found: dict[Prefix, list[float]] = {}
        for prefix, ways in kept.items():
            both, last = ways.both, prefix[-1] if prefix else BLANK
            own = found.setdefault(prefix, [NEVER, NEVER])
            own[0] = _sum(own[0], both + blank)
            if last in places:
                own[1] = _sum(own[1], ways.symbol + places[last])
            for symbol, log in places.items():
                longer = found.setdefault((*prefix, symbol), [NEVER, NEVER])
                longer[1] = _sum(longer[1], log + (ways.blank if symbol == last else both))
        return {prefix: _Ways(*pair) for prefix, pair in found.items() if max(pair) > NEVER}

    def _longer(self, before: _Spelled, symbol: int) -> _Spelled:
        text, score = before
        for character in self._alphabet[symbol - 1]:
            score += self._step(text, character)
            text += character
        return _Spelled(text, score)

    def _step(self, before: str, character: str) -> float:
        if self._language is None:
            return self._bonus
        own = self._language.log_probability(END + before, character)
        return self._weight * own + self._bonus

    def _end(self, text: str) -> float:
        if self._language is None:
            return 0.0
        return self._weight * self._language.log_probability(END + text, END)


def _sum(one: float, other: float) -> float:
    """ln(e^one + e^other)."""
    high, low = (one, other) if one >= other else (other, one)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))
