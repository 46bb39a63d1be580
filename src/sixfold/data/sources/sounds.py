"""Recordings that are made on the spot: vowels that glide into others, said by several voices."""

from __future__ import annotations

import io
import wave
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
STEP: Final = 80  # samples between two changes of the filter


class Settings(Section):
    """`vowels`: 288 WAV files of six words (`ai`, `au`, …) that six made voices say, written into
    ~/.cache/sixfold: a column `audio` with their paths, `word`, and `speaker`. A train of pulses goes
    through three resonators that move from one vowel's formants to another's (Fant 1960).
    """

    NAMES: ClassVar[tuple[str, ...]] = (VOWELS,)

    sounds: str = Field(description="vowels.")

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
        folder = Path.home() / ".cache" / "sixfold" / VOWELS
        said = [(word, voice, take) for word in WORDS for voice in VOICES for take in range(TAKES)]
        paths = [folder / f"{word}_{voice}_{take}.wav" for word, voice, take in said]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number, (path, (word, voice, _)) in enumerate(zip(paths, said, strict=True)):
                if not path.is_file():
                    aside = path.with_suffix(".tmp")
                    aside.write_bytes(_wav(spoken(word, voice, number)))
                    aside.replace(path)
        except OSError as error:
            raise system_fault(folder, error) from error
        texts = {
            "audio": [str(path) for path in paths],
            "word": [word for word, _, _ in said],
            "speaker": [voice for _, voice, _ in said],
        }
        columns = {
            name: pa.chunked_array([pa.array(cells, pa.string())]) for name, cells in texts.items()
        }
        return Raw(columns, len(paths), f"sounds:{VOWELS}", lambda row: f"row {row + 1:,}")


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
