"""Which stretch of a recording carries what is said: windows of time are silenced one after the other,
and the text is so much less probable.

Change of a window = ln p(text | recording) - ln p(text | recording without the window). A word's own
change is that of how much more probable the text is with the word than without it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.explain import faithfulness
from sixfold.bundle.explain.explainer import ExplainEffort, over_time
from sixfold.bundle.explain.faithfulness import Faithfulness, JudgedRow
from sixfold.bundle.frontend import Extra, RawRows
from sixfold.bundle.pieces import MOST_WINDOWS, AudioPieces
from sixfold.bundle.predictions import Predictions
from sixfold.bundle.predictor import Predictor
from sixfold.bundle.transcription import paths
from sixfold.bundle.transcription.decoder import TimedWord
from sixfold.bundle.transcription.likelihood import log_likelihoods
from sixfold.bundle.transcription.runtime import Arrays, TranscriptionRuntime
from sixfold.bundle.transcription.subwords import has_pieces, pieces_of
from sixfold.core.errors import RowError

HOW: Final = "occlusion: what the text's log-probability loses without the window"
LEAST: Final = 5  # windows, below which nothing can be told
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WordChanges:
    """A word where it is said, and what each window is worth to it, in nats."""

    said: TimedWord
    changes: tuple[float, ...]


@dataclass(frozen=True)
class SpokenChanges:
    """Of one recording. `text`: given, or what the model hears; `logprob`, and `silent` without any
    window, in nats; `changes` [windows]; `areas`: how faithful these are, as `faithfulness.of_one` tells it.
    """

    column: str
    text: str
    logprob: float
    silent: float
    game: SpokenGame
    changes: tuple[float, ...]
    words: tuple[WordChanges, ...]
    areas: dict[str, dict[str, float]]

    @property
    def asked(self) -> int:
        """Recordings that the model heard for it."""
        return self.game.count + 3

    @property
    def judged(self) -> JudgedRow:
        """As it is measured how faithful it is."""
        return JudgedRow(self.game, np.array(self.changes), 0)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        words = [
            {
                "word": each.said.word,
                "start": each.said.start,
                "end": each.said.end,
                "changes": list(each.changes),
            }
            for each in self.words
        ]
        return {
            "output": self.text,
            "scale": "log-probability",
            "method": HOW,
            "base": self.silent,
            "prediction": self.logprob,
            "pieces": {self.column: {**self.game.windows.record(self.changes), "words": words}},
            **self.areas,
        }


@dataclass(frozen=True)
class SpokenRows:
    """One record a row; `asked`: recordings that the model heard for them."""

    records: list[dict[str, Any]]
    predictions: Predictions
    asked: int


class NothingSaidError(RowError):
    """In a recording."""


def spoken_rows(
    predictor: Predictor,
    runtime: TranscriptionRuntime,
    rows: RawRows,
    effort: ExplainEffort,
    extra: Extra = "ignore",
) -> SpokenRows:
    """What the model hears in each. Raises RowError as `spoken`."""
    feeds = predictor.front_end.feeds(rows, extra)
    each = _rows_of(feeds)
    if not each:
        raise RowError("rows", "at least one row", "none", "Give a row.")
    predictions, share_s = predictor.run(feeds), effort.seconds / len(each)
    found = [_of_one(predictor, runtime, one, None, share_s) for one in each]
    asked = sum(each.asked for each in found)
    return SpokenRows([each.record() for each in found], predictions, asked)


def spoken(
    predictor: Predictor,
    runtime: TranscriptionRuntime,
    row: RawRows,
    text: str | None,
    seconds: float,
) -> SpokenChanges:
    """Of the first of `row`. `text`: None for what the model hears. Raises RowError for a text that the model
    cannot write and for more than `seconds` of work, NothingSaidError for a recording of silence.
    """
    feeds = {name: array[:1] for name, array in predictor.front_end.feeds(row).items()}
    return _of_one(predictor, runtime, feeds, text, seconds)


def heard(
    predictor: Predictor,
    runtime: TranscriptionRuntime,
    rows: RawRows,
    seconds: float,
) -> dict[int, SpokenChanges]:
    """What the model hears in those of `rows` in which it hears something. Raises RowError as `spoken`."""
    found, each = {}, _rows_of(predictor.front_end.feeds(rows))
    for at, one in enumerate(each):
        with suppress(NothingSaidError):
            found[at] = _of_one(predictor, runtime, one, None, seconds / len(each), judges=False)
    return found


def faithful(found: Collection[SpokenChanges], seconds: float) -> Faithfulness:
    """Over recordings in which something is said. Raises RowError where there is none, and for more than `seconds`
    of work.
    """
    expected_s = 0.0
    for each in found:
        started, count = time.perf_counter(), each.game.count
        each.game.answers(np.ones((1, count), dtype=np.bool_))
        expected_s += faithfulness.answered_pieces(count) * (time.perf_counter() - started)
    if expected_s > seconds:
        raise over_time(seconds, expected_s)
    return faithfulness.measure(each.judged for each in found)


def _rows_of(feeds: Arrays) -> list[Arrays]:
    """Each row by itself."""
    count = len(next(iter(feeds.values())))
    return [{name: array[row : row + 1] for name, array in feeds.items()} for row in range(count)]


def _of_one(
    predictor: Predictor,
    runtime: TranscriptionRuntime,
    feeds: Arrays,
    text: str | None,
    seconds: float,
    judges: bool = True,
) -> SpokenChanges:
    """`judges`: whether it is measured how faithful it is, where there is the time."""
    (content,), (samples,) = runtime.contents(feeds), runtime.samples(feeds)
    started = time.perf_counter()
    logs = runtime.logs_of(samples[None])
    windows = runtime.windows(content, samples, _most(seconds, time.perf_counter() - started))
    said = (runtime.decoder.text(logs[0]) if text is None else text).strip(" ")
    symbols = _symbols(runtime, said)
    if not symbols or not windows.count:
        expected, remedy = "one in which something is said", "Give the text with --answer."
        raise NothingSaidError(
            "the recording", expected, "nothing", remedy if windows.count else "Send another."
        )
    every = runtime.logs_of(windows.features(_kept(windows.count)))
    heard_s = time.perf_counter() - started
    whole = log_likelihoods(every, symbols)
    times = runtime.in_recording(runtime.decoder.words(logs[0], symbols), content)
    words = []
    scoring_s = time.perf_counter() - started - heard_s
    if (expected_s := heard_s + (len(times) + 1) * scoring_s) > seconds:
        raise over_time(seconds, expected_s)
    for at, each in enumerate(times):
        others = [word for word in said.split(" ") if word]
        del others[at]
        without = whole - log_likelihoods(every, _symbols(runtime, " ".join(others)))
        words.append(WordChanges(each, _changes(without)))
    found = SpokenChanges(
        column=predictor.signature.inputs[0].name,
        text=said,
        logprob=float(whole[0]),
        silent=float(whole[1]),
        game=SpokenGame(runtime, windows, symbols),
        changes=_changes(whole),
        words=tuple(words),
        areas={},
    )
    left_s = seconds - (time.perf_counter() - started)
    return replace(found, areas=faithfulness.of_one(found.judged, left_s)) if judges else found


@dataclass(frozen=True)
class SpokenGame:
    """A recording of which windows are silenced; what is answered is the log-probability of a text."""

    runtime: TranscriptionRuntime
    windows: AudioPieces
    symbols: Sequence[int]

    @property
    def count(self) -> int:
        """Windows."""
        return self.windows.count

    def answers(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """[n, windows] → [n, 1]."""
        heard = self.runtime.logs_of(self.windows.features(kept))
        return np.asarray(log_likelihoods(heard, self.symbols)[:, None])


def _kept(count: int) -> npt.NDArray[np.bool_]:
    """All windows, none, and all but each."""
    kept = np.ones((count + 2, count), dtype=np.bool_)
    kept[1] = False
    kept[2:][np.diag_indices(count)] = False
    return kept


def _changes(scores: Floats) -> tuple[float, ...]:
    """Of each window, of scores as `_kept` orders them."""
    return tuple((scores[0] - scores[2:]).tolist())


def _most(seconds: float, row_s: float) -> int:
    """Windows, by the time that one answer takes. Raises RowError."""
    most = int(min(MOST_WINDOWS, seconds / max(row_s, 1e-9)))
    if most < LEAST:
        raise over_time(seconds, LEAST * row_s)
    return most


def _symbols(runtime: TranscriptionRuntime, text: str) -> Sequence[int]:
    """Those that spell the text. Raises RowError."""
    described = runtime.decoder.described
    places = {symbol: at for at, symbol in enumerate(described.alphabet, start=1)}
    spelled = list(text)
    if has_pieces(places):
        spelled = [piece for word in text.split() for piece in pieces_of(word, places)]
    unknown = next((piece for piece in spelled if piece not in places), None)
    if unknown is not None:
        known = "".join(sorted(set("".join(described.alphabet))))[:80]
        raise RowError("the text", f"characters among {known!r}", f"{unknown!r}", "Write it so.")
    found = [places[piece] for piece in spelled]
    if not paths.fits(found, described.frames):
        expected = f"at most {described.frames:,} symbols, one a frame"
        raise RowError("the text", expected, f"{paths.needed(found):,}", "Give a shorter one.")
    return found
