"""A recognizer of speech that is ready to hear: a graph, and the decoder of what it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from sixfold.bundle import audio
from sixfold.bundle.audio_inputs import AudioEncoder
from sixfold.bundle.pieces import AudioPieces
from sixfold.bundle.transcription.decoder import TimedWord, TranscriptDecoder
from sixfold.bundle.transcription.tokens import TokenTexts
from sixfold.core import json_limits
from sixfold.core.errors import BundleError, RowError
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.ctc_decoder import DECODER, MOST_CHARACTERS, MOST_NGRAMS, CtcDecoder
from sixfold.recipe.token_decoder import TokenDecoder

if TYPE_CHECKING:
    from sixfold.bundle.runtimes.onnx import OnnxRuntime

AGAIN: Final = "Copy the bundle again from where it was made."
LIMITS: Final = JsonLimits(8 << 20, values=3 * MOST_NGRAMS + MOST_CHARACTERS + 64, depth=4)
LATE_S: Final = 0.05  # by which a recording may be longer than what the model takes: rounding, by a resampler too
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Transcript:
    """What is said, with its words; seconds from the recording's beginning. `words`: None of a model that
    does not know their times.
    """

    text: str
    words: tuple[TimedWord, ...] | None
    duration: float


def described_decoder(
    described: Mapping[str, str], outputs: Mapping[str, str], where: str
) -> TranscriptDecoder | TokenTexts:
    """By the model's metadata, of a graph with these outputs. Raises BundleError."""
    content = described.get(DECODER, "").encode("utf-8", "surrogatepass")
    if found := json_limits.violation(content, LIMITS):
        raise BundleError(where, f"{DECODER}: {found[0]}", found[1], AGAIN)
    try:
        decoder = _decoder_of(content)
    except ValueError as error:
        first = str(error)
        if isinstance(error, ValidationError):
            told = error.errors(include_url=False, include_context=False, include_input=False)
            first = told[0]["msg"]
        expected = f"{DECODER} described as Sixfold does"
        raise BundleError(where, expected, first[:200], AGAIN) from None
    expected_outputs = {"value": f"tensor(double) [rows, {decoder.described.cells}]"}
    if outputs != expected_outputs:
        expected = f"outputs as the decoder takes them, {expected_outputs}"
        raise BundleError(where, expected, f"{outputs}", AGAIN)
    return decoder


def _decoder_of(content: bytes) -> TranscriptDecoder | TokenTexts:
    """Raises ValueError."""
    found = json.loads(content)
    if isinstance(found, dict) and found.get("method") == "tokens":
        return TokenTexts(TokenDecoder.model_validate_json(content))
    described = CtcDecoder.model_validate_json(content)
    if len(set(described.alphabet)) < len(described.alphabet):
        raise ValueError("no alphabet of different characters: one twice")
    return TranscriptDecoder(described)


class TranscriptionRuntime:
    """Calls may come from several threads at once."""

    def __init__(self, graph: OnnxRuntime, decoder: TranscriptDecoder | TokenTexts) -> None:
        self._graph, self._texts = graph, decoder
        self.rows_at_once, self.row_products = graph.rows_at_once, graph.row_products
        self.depends_on_batch = graph.depends_on_batch

    def transcriber(self) -> TranscriptionRuntime:
        """Itself."""
        return self

    def predict(self, feeds: Arrays, first_row: int = 1) -> dict[str, npt.NDArray[Any]]:
        """The text of each recording."""
        values = self._graph.predict(feeds, first_row)["value"]
        found = [self._texts.text_of_values(row) for row in values]
        return {"text": np.array(found, dtype=object)}

    @property
    def times_words(self) -> bool:
        """Whether it says when a word is said."""
        return isinstance(self._texts, TranscriptDecoder)

    @property
    def becomes(self) -> dict[str, str]:
        """As of the graph."""
        return self._graph.becomes

    def decoded_values(self, feeds: Arrays) -> int:
        """As of the graph."""
        return self._graph.decoded_values(feeds)

    def encoded(self, feeds: Arrays, first_row: int = 1) -> dict[str, npt.NDArray[Any]]:
        """As of the graph."""
        return self._graph.encoded(feeds, first_row)

    @property
    def longest_s(self) -> float:
        """Of a recording of which nothing is left out."""
        taken = self._heard.described
        return taken.samples / taken.rate

    @property
    def rate(self) -> int:
        """Samples a second that it hears."""
        return self._heard.described.rate

    def duration_s(self, content: bytes, name: str) -> float:
        """By its header; nothing is decoded. Raises DataError for what is no recording, RowError for a
        recording that is longer than what the model takes.
        """
        found = audio.facts_of(content, name).seconds
        if found > self.longest_s + LATE_S:
            raise RowError(
                name,
                f"a recording of at most {self.longest_s:g} s, which is what this model takes",
                f"one of {found:.2f} s",
                "Cut it into pieces at pauses, or train with a larger prepare.features.audio.seconds.",
            )
        return found

    def transcribe(self, content: bytes, name: str) -> Transcript:
        """What is said in a sound file. Raises as `duration_s`."""
        duration = self.duration_s(content, name)
        feeds = {self._group: np.array([[content]], dtype=object)}
        (values,) = self._graph.predict(feeds)["value"]
        found = self._texts.said(values)
        if found.words is None:
            return Transcript(found.text, None, duration)
        return Transcript(found.text, self.in_recording(found.words, content), duration)

    def in_recording(self, words: Sequence[TimedWord], content: bytes) -> tuple[TimedWord, ...]:
        """Words whose times are those of what the network is given, with those of the sound file."""
        start, end = self._heard.start_s(content), audio.facts_of(content, "").seconds
        return tuple(
            TimedWord(one.word, _within(one.start + start, end), _within(one.end + start, end))
            for one in words
        )

    @property
    def decoder(self) -> TranscriptDecoder:
        """What makes texts of the network's numbers. Raises RowError of a model that says nothing of
        single moments.
        """
        if not isinstance(self._texts, TranscriptDecoder):
            raise RowError(
                "the model",
                "one that says of every moment what is heard (ctc, speech_encoder)",
                "one that writes tokens (whisper)",
                "Its texts cannot be explained by moments of the recording.",
            )
        return self._texts

    def samples(self, feeds: Arrays) -> npt.NDArray[np.float64]:
        """[rows, samples] that the network is given. Raises RowError."""
        (encoded,) = self._graph.encoders
        return np.array(self.encoded(feeds)[encoded.name], dtype=np.float64)

    def contents(self, feeds: Arrays) -> list[bytes]:
        """The sound files of all rows."""
        (encoded,) = self._graph.encoders
        return list(feeds[encoded.group][:, encoded.place])

    def windows(self, content: bytes, samples: npt.NDArray[np.float64], most: int) -> AudioPieces:
        """Of one recording, and its [samples], at most so many."""
        return self._heard.pieces(content, samples, most)

    def logs_of(self, samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of recordings [rows, samples], at least one: [rows, frames, symbols]."""
        (encoded,) = self._graph.encoders
        step = 1 if self.depends_on_batch else self.rows_at_once
        some = [samples[at : at + step] for at in range(0, len(samples), step)]
        scores = [self._graph.answered({encoded.name: each})["value"] for each in some]
        return np.stack([self.decoder.logs(row) for each in scores for row in each])

    @property
    def _heard(self) -> AudioEncoder:
        """What makes samples of recordings."""
        (encoded,) = self._graph.encoders
        if not isinstance(encoded.encoder, AudioEncoder):
            raise TypeError(f"{type(encoded.encoder).__name__} is no AudioEncoder")
        return encoded.encoder

    @property
    def _group(self) -> str:
        (encoded,) = self._graph.encoders
        return encoded.group


def _within(seconds: float, duration: float) -> float:
    return min(max(0.0, seconds), duration)
