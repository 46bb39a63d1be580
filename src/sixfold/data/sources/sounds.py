"""Recordings that are made on the spot: vowels that glide into others, said by several voices; texts of
tones.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from scipy.signal import lfilter

from sixfold.core.errors import DataError, did_you_mean
from sixfold.core.memory import MemoryLimit
from sixfold.core.paths import system_fault
from sixfold.data.source import Raw
from sixfold.parts.table import FloatArray
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

VOWELS: Final = "vowels"
TONES: Final = "tones"
RATE: Final = 8_000  # samples a second
# Of each vowel the first three formants in Hz: means of men (Peterson and Barney 1952).
FORMANTS: Final = {
    "a": (730.0, 1090.0, 2440.0),
    "e": (530.0, 1840.0, 2480.0),
    "i": (270.0, 2290.0, 3010.0),
    "o": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
}
BANDWIDTHS: Final = (60.0, 90.0, 150.0)  # Hz of each formant
WORDS: Final = ("ai", "au", "eo", "ia", "oi", "ua")
# Of each voice its pitch in Hz, and by how much its vocal tract is shorter than a man's.
VOICES: Final = {
    "ada": (210.0, 1.16),
    "ben": (110.0, 1.0),
    "eva": (190.0, 1.12),
    "ian": (125.0, 1.03),
    "leo": (95.0, 0.97),
    "mia": (240.0, 1.22),
}
TAKES: Final = 8  # of each word by each voice
LETTERS: Final = {"a": 450.0, "b": 640.0, "c": 910.0, "d": 1290.0, "e": 1830.0}  # Hz
SPELLED: Final = ("a", "ace", "add", "bad", "bead", "bed", "cab", "dab", "dead", "ebb")
TEXTS: Final = 240  # of tones
STEP: Final = 80  # samples between two changes of the filter


class Settings(Section):
    """WAV files that are written into ~/.cache/sixfold, a column `audio` with their paths. `vowels`: 288
    of six words (`ai`, `au`, …) that six made voices say, with `word` and `speaker`; a train of pulses goes
    through three resonators that move from one vowel's formants to another's (Fant 1960). `tones`: 240 of
    texts of one to three words, each letter a tone of its own, with `text`.
    """

    NAMES: ClassVar[tuple[str, ...]] = (VOWELS, TONES)

    sounds: str = Field(description="vowels, or tones.")

    @classmethod
    def of(cls, name: str, data: Data) -> Self:
        """The recordings called `name`. Raises DataError."""
        if name not in cls.NAMES:
            raise DataError(
                "data.source",
                "recordings that Sixfold makes",
                f"'{name}'",
                did_you_mean(name, cls.NAMES),
            )
        return cls(sounds=name)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All paths; files that are not there yet are written. Raises SystemFault."""
        folder = Path.home() / ".cache" / "sixfold" / self.sounds
        columns = {VOWELS: _vowels, TONES: _tones}[self.sounds](folder)
        paths = columns["audio"]
        arrays = {
            name: pa.chunked_array([pa.array(cells, pa.string())])
            for name, cells in columns.items()
        }
        return Raw(arrays, len(paths), f"sounds:{self.sounds}", lambda row: f"row {row + 1:,}")


def _vowels(folder: Path) -> dict[str, list[str]]:
    """The columns. Raises SystemFault."""
    said = [(word, voice, take) for word in WORDS for voice in VOICES for take in range(TAKES)]
    paths = [folder / f"{word}_{voice}_{take}.wav" for word, voice, take in said]
    for number, (path, (word, voice, _)) in enumerate(zip(paths, said, strict=True)):
        _write(path, partial(spoken, word, voice, number))
    return {
        "audio": [str(path) for path in paths],
        "word": [word for word, _, _ in said],
        "speaker": [voice for _, voice, _ in said],
    }


def _tones(folder: Path) -> dict[str, list[str]]:
    """The columns. Raises SystemFault."""
    paths = [folder / f"{number:03}.wav" for number in range(TEXTS)]
    texts = [tone_text(number) for number in range(TEXTS)]
    for number, (path, text) in enumerate(zip(paths, texts, strict=True)):
        _write(path, partial(sung, text, number))
    return {"audio": [str(path) for path in paths], "text": texts}


def _write(path: Path, make: Callable[[], FloatArray]) -> None:
    """A file that is not there yet. Raises SystemFault."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            aside = path.with_suffix(".tmp")
            aside.write_bytes(_wav(make()))
            aside.replace(path)
    except OSError as error:
        raise system_fault(path.parent, error) from error


def tone_text(seed: int) -> str:
    """One to three words, by the seed."""
    random = np.random.default_rng(seed)
    return " ".join(random.choice(SPELLED, size=int(random.integers(1, 4))))


def sung(text: str, seed: int) -> FloatArray:
    """A tone for each letter, with a short pause behind it, a longer one for a space; float64 [samples] in
    [-1, 1]; length, pitch and loudness by the seed.
    """
    random = np.random.default_rng(TEXTS + seed)
    pitch, parts = random.uniform(0.95, 1.05), [np.zeros(STEP * 5)]
    for letter in text:
        if letter == " ":
            parts.append(np.zeros(STEP * int(random.integers(10, 15))))
            continue
        count = STEP * int(random.integers(6, 10))  # 60 to 90 ms
        turns = pitch * LETTERS[letter] * np.arange(count) / RATE
        parts += [np.sin(2 * np.pi * turns) * np.hanning(count) ** 0.3, np.zeros(2 * STEP)]
    sound = np.concatenate([*parts, np.zeros(STEP * 5)])
    return np.asarray(
        random.uniform(0.2, 0.8) * sound + random.normal(0, 0.005, len(sound)), dtype=np.float64
    )


def spoken(word: str, voice: str, seed: int) -> FloatArray:
    """A word of two vowels, float64 [samples] in [-1, 1]; pitch, length and loudness by the seed."""
    random = np.random.default_rng(seed)
    pitch, tract = VOICES[voice]
    count = STEP * int(random.integers(30, 46))  # 0.3 to 0.45 s
    pitch *= random.uniform(0.9, 1.1)
    hertz = pitch * np.linspace(1.1, 0.9, count)  # falls, as at the end of a sentence
    turns = np.cumsum(hertz / RATE)
    pulses = np.diff(np.floor(turns), prepend=0.0) + random.normal(0, 0.01, count)
    sound = lfilter([1.0], [1.0, -0.9], pulses)  # softer toward high frequencies
    share = np.clip(np.linspace(-0.5, 1.5, count // STEP), 0, 1)[:, None]
    first, second = (np.array(FORMANTS[vowel]) for vowel in word)
    moving = ((1 - share) * first + share * second) * tract * random.uniform(0.97, 1.03)
    for number, width in enumerate(BANDWIDTHS):
        sound = _resonated(sound, moving[:, number], width)
    faded = sound * np.hanning(count) ** 0.3
    loudness = random.uniform(0.2, 0.8)
    noise = random.normal(0, 0.003, count)
    return np.asarray(loudness * faded / np.abs(faded).max() + noise)


def _resonated(sound: FloatArray, hertz: FloatArray, width: float) -> FloatArray:
    """Through a resonator of two poles, whose frequency changes every STEP samples."""
    found, state = np.empty_like(sound), np.zeros(2)
    radius = np.exp(-np.pi * width / RATE)
    for at, frequency in enumerate(np.minimum(hertz, 0.48 * RATE)):
        turn = -2 * radius * np.cos(2 * np.pi * frequency / RATE)
        poles = [1.0, turn, radius**2]
        part = slice(at * STEP, (at + 1) * STEP)
        found[part], state = lfilter([sum(poles)], poles, sound[part], zi=state)
    return found


def _wav(samples: npt.NDArray[np.float64]) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()
