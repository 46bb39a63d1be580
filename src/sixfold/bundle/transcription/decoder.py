"""From a network's numbers to a text, and to its words with their times."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sixfold.bundle.transcription import paths
from sixfold.bundle.transcription.beam import BeamSearch
from sixfold.bundle.transcription.paths import FrameSpan, Scores
from sixfold.recipe.ctc_decoder import CtcDecoder


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it is said: seconds from the first sample that the network was given."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class Said:
    """A text and its words; None where nobody knows their times."""

    text: str
    words: tuple[TimedWord, ...] | None


class TranscriptDecoder:
    """By what training wrote down. Calls may come from several threads at once."""

    def __init__(self, described: CtcDecoder) -> None:
        self.described = described
        self._search = BeamSearch(described) if described.method == "beam" else None

    def logs(self, scores: npt.NDArray[Any]) -> Scores:
        """What the network gave of one recording, [cells] → ln of probabilities, [frames, symbols]."""
        shape = self.described.frames, self.described.outputs
        return paths.log_probabilities(np.asarray(scores).reshape(shape))

    def symbols(self, logs: Scores) -> tuple[int, ...]:
        """What is heard, as places in the alphabet, from 1."""
        if self._search is not None:
            return self._search.hypotheses(logs)[0].symbols
        return paths.greedy(logs)

    def text_of(self, symbols: Sequence[int]) -> str:
        """What they spell, without spaces at its ends."""
        return "".join(self._pieces(symbols)).strip(" ")

    def text(self, logs: Scores) -> str:
        """What is said, without spaces at its ends."""
        return self.text_of(self.symbols(logs))

    def text_of_values(self, values: npt.NDArray[Any]) -> str:
        """Of what the network gave of one recording, [cells]."""
        return self.text(self.logs(values))

    def said(self, values: npt.NDArray[Any]) -> Said:
        """The same, with its words."""
        logs = self.logs(values)
        symbols = self.symbols(logs)
        return Said(self.text_of(symbols), tuple(self.words(logs, symbols)))

    def margin(self, logs: Scores) -> float:
        """How far the text's score is from that of another one."""
        if self._search is None:
            return paths.margin(logs)
        best = self._search.hypotheses(logs)
        return best[0].score - best[1].score if len(best) > 1 else float("inf")

    def words(self, logs: Scores, symbols: Sequence[int]) -> list[TimedWord]:
        """Of the text of `symbols`: on its most probable path."""
        spans = paths.aligned(logs, symbols)
        said = [
            (character, span)
            for piece, span in zip(self._pieces(symbols), spans, strict=True)
            for character in piece
        ]
        words = itertools.groupby(said, key=lambda one: one[0] == " ")
        return [self._timed(list(word)) for space, word in words if not space]

    def _pieces(self, symbols: Sequence[int]) -> list[str]:
        return [self.described.alphabet[at - 1] for at in symbols]

    def _timed(self, word: Sequence[tuple[str, FrameSpan]]) -> TimedWord:
        """A frame stands for the time around its middle."""
        start, step = self.described.first_s, self.described.frame_s
        first, last = word[0][1].first, word[-1][1].last
        spelled = "".join(character for character, _ in word)
        return TimedWord(
            spelled, max(0.0, start + (first - 0.5) * step), start + (last + 0.5) * step
        )
