"""Texts by the sum over all of their paths, and by how probable they are as texts: prefix beam search
(Graves and Jaitly, Towards end-to-end speech recognition with recurrent neural networks, ICML 2014).

Shape letters: T frames, V symbols and the blank, K prefixes that are kept, S symbols that are tried at a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sixfold.bundle.transcription.characters import CharacterModel
from sixfold.bundle.transcription.paths import BLANK, Scores
from sixfold.recipe.ctc_decoder import END, CtcDecoder

NEVER: Final = -math.inf
LEAST: Final = (
    12.0  # ln of how many times less probable than a frame's best a symbol is that is not tried
)
MOST_STEPS: Final = 1 << 20  # scores of symbols that are remembered
Cell = tuple[int, int]


@dataclass(frozen=True)
class Hypothesis:
    """A text, the symbols that spell it, and its score: ln of the probability of all of its paths, of the text
    itself by its weight, and a bonus for every character.
    """

    text: str
    symbols: tuple[int, ...]
    score: float


class _Prefix(NamedTuple):
    """What is spelled so far, and the score that it has besides its paths. `steps`: what a text's score gets
    by each symbol behind it, NaN where nobody has asked yet; shared by all texts that end alike.
    """

    symbols: tuple[int, ...]
    text: str
    score: float
    steps: Scores  # [V]


class _Beam:
    """Prefixes, and of each ln of the probability of all of its paths so far: those that end with a blank, and
    the others.
    """

    def __init__(self, prefixes: Sequence[_Prefix], blank_K: Scores, symbol_K: Scores) -> None:
        self.prefixes, self.blank_K, self.symbol_K = prefixes, blank_K, symbol_K
        self.score_K = np.array([one.score for one in prefixes])
        self.last_K = np.array([one.symbols[-1] if one.symbols else BLANK for one in prefixes])
        places = {one.symbols: at for at, one in enumerate(prefixes)}
        shorter = (places.get(one.symbols[:-1], -1) if one.symbols else -1 for one in prefixes)
        self.shorter_K = np.fromiter(shorter, dtype=np.intp)  # where it is without its last symbol

    def both(self) -> Scores:
        return np.logaddexp(self.blank_K, self.symbol_K)


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
        lengths = [0, *map(len, decoder.alphabet)]
        self._lengths_V = np.array(lengths, dtype=np.float64)
        self._known: dict[str, Scores] = {}

    def hypotheses(self, logs_TV: Scores) -> list[Hypothesis]:
        """The best first, at least one, at most as many as the search is wide; no text twice."""
        nothing = _Prefix((), "", 0.0, self._steps_after(""))
        kept = _Beam([nothing], np.zeros(1), np.full(1, NEVER))
        tried_TV = logs_TV >= logs_TV.max(axis=1, keepdims=True) - LEAST
        tried_TV[:, BLANK] = False
        for logs_V, tried_V in zip(logs_TV, tried_TV, strict=True):
            if tried_V.any():
                kept = self._extended(kept, logs_V, np.flatnonzero(tried_V))
            else:  # all go on with a blank, in the same order
                kept.blank_K = kept.both() + logs_V[BLANK]
                kept.symbol_K = np.full_like(kept.blank_K, NEVER)
        return self._texts(kept)

    def _texts(self, kept: _Beam) -> list[Hypothesis]:
        """Pieces may spell one text in several ways, whose paths are all its own: the symbols are those of the
        most probable way.
        """
        found: dict[str, Hypothesis] = {}
        ways = zip(kept.both().tolist(), kept.prefixes, strict=True)
        for both, prefix in sorted(ways, key=lambda way: (-way[0], way[1].symbols)):
            text = prefix.text
            score = both + prefix.score + self._end(text)
            first = found.get(text)
            found[text] = (
                Hypothesis(text, prefix.symbols, score)
                if first is None
                else replace(first, score=float(np.logaddexp(first.score, score)))
            )
        return sorted(found.values(), key=lambda one: (-one.score, one.text))

    def _extended(self, kept: _Beam, logs_V: Scores, tried_S: npt.NDArray[np.intp]) -> _Beam:
        """By one frame: in column 0 a prefix stays, in the others it gets a symbol more."""
        place_V = np.zeros(len(logs_V), dtype=np.intp)  # of a symbol: its column
        place_V[tried_S] = np.arange(1, 1 + len(tried_S))
        column_K, both_K = place_V[kept.last_K], kept.both()
        blank_K = both_K + logs_V[BLANK]
        again_KS = kept.last_K[:, None] == tried_S  # the same symbol as before: after a blank
        symbol_KC = np.empty((len(both_K), 1 + len(tried_S)))
        symbol_KC[:, 0] = kept.symbol_K + np.where(column_K > 0, logs_V[kept.last_K], NEVER)
        symbol_KC[:, 1:] = np.where(again_KS, kept.blank_K[:, None], both_K[:, None])
        symbol_KC[:, 1:] += logs_V[tried_S]
        at = np.flatnonzero((kept.shorter_K >= 0) & (column_K > 0))
        same = kept.shorter_K[at], column_K[at]  # longer, it is one that is kept
        symbol_KC[at, 0] = np.logaddexp(symbol_KC[at, 0], symbol_KC[same])
        symbol_KC[same] = NEVER
        score_KC = np.repeat(kept.score_K[:, None], symbol_KC.shape[1], axis=1)
        score_KC[:, 1:] += self._steps(kept, tried_S)
        total_KC = symbol_KC + score_KC
        total_KC[:, 0] = np.logaddexp(blank_K, symbol_KC[:, 0]) + kept.score_K
        contenders = [
            (float(total_KC[cell]), self._prefix(kept, cell, tried_S, score_KC), cell)
            for cell in self._cells(total_KC)
        ]
        contenders.sort(key=lambda one: (-one[0], one[1].symbols))
        del contenders[self._width :]
        rows, columns = np.array([cell for *_, cell in contenders]).T
        stays = columns == 0
        return _Beam(
            [prefix for _, prefix, _ in contenders],
            np.where(stays, blank_K[rows], NEVER),
            symbol_KC[rows, columns],
        )

    def _cells(self, total_KC: Scores) -> list[Cell]:
        """Of as many as the search is wide, and of those that are as good as the last of them."""
        least = NEVER
        if total_KC.size > self._width:
            least = np.partition(total_KC, -self._width, axis=None)[-self._width]
        rows, columns = np.nonzero((total_KC >= least) & (total_KC > NEVER))
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    def _prefix(
        self, kept: _Beam, cell: Cell, tried_S: npt.NDArray[np.intp], score_KC: Scores
    ) -> _Prefix:
        row, column = cell
        prefix = kept.prefixes[row]
        if column == 0:
            return prefix
        symbol = int(tried_S[column - 1])
        text = prefix.text + self._alphabet[symbol - 1]
        symbols, score = (*prefix.symbols, symbol), float(score_KC[cell])
        return _Prefix(symbols, text, score, self._steps_after(text))

    def _steps(self, kept: _Beam, tried_S: npt.NDArray[np.intp]) -> Scores:
        """[K, S] what each text's score gets by each symbol; computed when it is first asked for."""
        steps_KS = np.array([prefix.steps for prefix in kept.prefixes])[:, tried_S]
        for row, at in np.argwhere(np.isnan(steps_KS)).tolist():
            prefix, symbol = kept.prefixes[row], tried_S[at]
            if math.isnan(prefix.steps[symbol]):  # another prefix may share it
                prefix.steps[symbol] = self._step(prefix.text, self._alphabet[symbol - 1])
            steps_KS[row, at] = prefix.steps[symbol]
        return steps_KS

    def _steps_after(self, text: str) -> Scores:
        """[V] of all texts of which an n-gram sees the same."""
        if self._language is None:
            return self._bonus * self._lengths_V
        before = self._language.seen(END + text)
        steps_V = self._known.get(before)
        if steps_V is None:
            if (len(self._known) + 1) * len(self._lengths_V) > MOST_STEPS:
                self._known.clear()
            steps_V = self._known[before] = np.full(len(self._lengths_V), np.nan)
        return steps_V

    def _step(self, text: str, piece: str) -> float:
        assert self._language is not None
        before, score = self._language.seen(END + text), self._bonus * len(piece)
        for at, character in enumerate(piece):
            own = self._language.log_probability(before + piece[:at], character)
            score += self._weight * own
        return score

    def _end(self, text: str) -> float:
        if self._language is None:
            return 0.0
        return self._weight * self._language.log_probability(END + text, END)
