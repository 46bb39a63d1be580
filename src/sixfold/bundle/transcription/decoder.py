"""From a network's numbers to a text, and to its words with their times."""

from __future__ import annotations

from collections.abc import Iterator
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


class TranscriptDecoder:
    """By what training wrote down. Calls may come from several threads at once."""

    def __init__(self, described: CtcDecoder) -> None:
        self.described = described
        self._places = {character: at for at, character in enumerate(described.alphabet, 1)}
        self._search = BeamSearch(described) if described.method == "beam" else None

    def logs(self, scores: npt.NDArray[Any]) -> Scores:
        """What the network gave of one recording, [cells] → ln of probabilities, [frames, symbols]."""
        shape = self.described.frames, self.described.outputs
        return paths.log_probabilities(np.asarray(scores).reshape(shape))

    def text(self, logs: Scores) -> str:
        """What is said, without spaces at its ends."""
        return self._raw(logs).strip(" ")

    def margin(self, logs: Scores) -> float:
        """How far the text's score is from that of another one."""
        if self._search is None:
            return paths.margin(logs)
        best = self._search.hypotheses(logs)
        return best[0].score - best[1].score if len(best) > 1 else float("inf")

    def words(self, logs: Scores, text: str) -> list[TimedWord]:
        """Of a text that `text` gave: on its most probable path."""
        symbols = [self._places[character] for character in text]
        spans = paths.aligned(logs, symbols)
        return list(self._timed(text, spans))

    def _raw(self, logs: Scores) -> str:
        if self._search is not None:
            return self._search.hypotheses(logs)[0].text
        return "".join(self.described.alphabet[at - 1] for at in paths.greedy(logs))

    def _timed(self, text: str, spans: list[FrameSpan]) -> Iterator[TimedWord]:
        at = 0
        for word in text.split(" "):
            if word:
                yield TimedWord(word, *self._seconds(spans[at], spans[at + len(word) - 1]))
            at += len(word) + 1

    def _seconds(self, first: FrameSpan, last: FrameSpan) -> tuple[float, float]:
        """A frame stands for the time around its middle."""
        start, step = self.described.first_s, self.described.frame_s
        return (
            max(0.0, start + (first.first - 0.5) * step),
            start + (last.last + 0.5) * step,
        )
