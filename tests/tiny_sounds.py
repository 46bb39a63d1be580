"""Sound files small enough for tests: tones with noise, of several rates, lengths and speakers."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sixfold.data.sources.sounds import sung
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.parts.transcripts import code_points

RATE = 8_000
SPEAKERS = ("ann", "bob", "cid", "dan")


def wav(samples: npt.ArrayLike, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file of 16 bits; `samples`: in [-1, 1], of several channels one after the other."""
    stream = io.BytesIO()
    whole = np.clip(np.rint(np.asarray(samples) * 32768), -32768, 32767).astype("<i2")
    with wave.open(stream, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(whole.tobytes())
    return stream.getvalue()


def tone(hertz: float, seconds: float, rate: int = RATE, seed: int = 0) -> npt.NDArray[np.float64]:
    """With a little noise."""
    count = round(seconds * rate)
    noise = np.random.default_rng(seed).normal(0, 0.01, count)
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * np.arange(count) / rate) + noise)


def draw(folder: Path, count: int, rates: tuple[int, ...] = (RATE,)) -> list[Path]:
    """WAV files of tones that rise or fall, in a subfolder a class, named by their speaker, whose tones
    are higher or lower.
    """
    random, paths = np.random.default_rng(0), []
    for number in range(count):
        rate, speaker = rates[number % len(rates)], number // 2 % len(SPEAKERS)
        steps = np.arange(round(random.uniform(0.2, 0.3) * rate)) / rate
        middle, rising = 700 + 150 * speaker + random.uniform(0, 100), number % 2 == 0
        hertz = middle + (1500 if rising else -1500) * (steps - steps.mean())
        sound = 0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / rate)
        path = folder / ("rising" if rising else "falling") / f"{SPEAKERS[speaker]}_{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(sound + random.normal(0, 0.01, len(sound)), rate))
        paths.append(path)
    return paths


def sung_texts(folder: Path, texts: Sequence[str]) -> Dataset:
    """Recordings of texts, a tone a letter: column `sound`, target `said`."""
    names = [folder / f"{number}.wav" for number in range(len(texts))]
    for number, (path, text) in enumerate(zip(names, texts, strict=True)):
        path.write_bytes(wav(0.8 * sung(text, number)))
    column = Column("audio", np.arange(len(texts), dtype=np.int32), tuple(map(str, names)))
    target = Target("transcription", code_points(texts), ("said",))
    return Dataset(Table({"sound": column}, len(texts)), target)
