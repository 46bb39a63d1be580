"""Bytes of a sound file to samples, the same for training and serving. What is too long is refused
from its header alone; a header is not believed beyond that.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle.file_values import seeming
from sixfold.bundle.noise import noise_reduced
from sixfold.core.errors import DataError, SystemFault
from sixfold.core.units import show_bytes
from sixfold.recipe.audio import AudioInput

FORMATS: Final = ("WAV", "FLAC", "MP3", "OGG")
ENDINGS: Final = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga"})
READ_AT_ONCE: Final = 1 << 18  # values of all channels
FRAME_S: Final = 0.01  # whose loudness decides what is silence
FULL_SCALE: Final = 32768.0
UNKNOWN_BYTES: Final = (0, 0xFFFFFFFF)  # of samples, by the header of a WAV file that was streamed
LAST_PAGE: Final = 4  # flag of a page of OGG
REPAIR: Final = "Export it again, or remove it."
Samples = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int16]


@dataclass(frozen=True)
class AudioLimits:
    """What may be decoded: bytes of the file, seconds, values of all channels (4 bytes each while
    they are decoded), channels, samples a second.
    """

    most_bytes: int = 64 << 20
    most_s: float = 600.0
    most_values: int = 60_000_000
    most_channels: int = 8
    rates: tuple[int, int] = (1_000, 384_000)


LIMITS: Final = AudioLimits()


@dataclass(frozen=True)
class AudioFacts:
    """By the header: samples a second, channels, and samples of each (`frames`)."""

    rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate


def facts_of(content: bytes, name: str, limits: AudioLimits = LIMITS) -> AudioFacts:
    """What the header says; nothing is decoded. Raises DataError for what is no sound file of
    FORMATS, is empty, or is beyond `limits`.
    """
    with _opened(content, name, limits) as file:
        return _facts(file)


def decode(content: bytes, name: str, limits: AudioLimits = LIMITS) -> tuple[Samples, int]:
    """The mean of all channels, float32 [frames], 1.0 is full scale, and samples a second. `name`
    stands in messages. Raises DataError for what is no sound file, is damaged, or is beyond
    `limits`.
    """
    with _opened(content, name, limits) as file:
        facts = _facts(file)
        most = min(int(limits.most_s * facts.rate), limits.most_values // facts.channels)
        parts, left = [], most + 1
        step = max(1, READ_AT_ONCE // facts.channels)
        while left > 0:
            some = file.read(min(step, left), dtype="float32", always_2d=True)
            if not len(some):
                break
            parts.append(some.mean(axis=1, dtype=np.float32))
            left -= len(some)
    if left <= 0:
        raise _too_long(name, f"more than {most / facts.rate:,.0f} s", limits)
    found = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    _check_samples(found, facts, name)
    return found, facts.rate


def recorded(content: bytes, name: str, wanted: AudioInput) -> Whole:
    """What a model takes of a sound file, int16 [samples]: one channel at its rate, with less noise,
    the ends cut where they are silent, as loud as asked for, the middle of what is longer, and zeros
    around what is shorter. Raises DataError as `decode`.

    soxr resamples (its quality HQ).
    """
    samples = _cleaned(content, name, wanted)
    if wanted.trim:
        samples = trimmed(samples, wanted.rate, wanted.trim)
    samples = middle(samples, wanted.samples)
    if wanted.level is not None:
        samples = leveled(samples, wanted.level)
    scaled = np.rint(samples.astype(np.float64) * FULL_SCALE)
    whole = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    found, start = np.zeros(wanted.samples, dtype=np.int16), (wanted.samples - len(whole)) // 2
    found[start : start + len(whole)] = whole
    return found


def start_s(content: bytes, name: str, wanted: AudioInput) -> float:
    """Where in the recording the first sample of `recorded` is, in seconds; below 0 where zeros are before
    it. Raises DataError as `decode`.
    """
    if not wanted.trim:
        return (facts_of(content, name).seconds - wanted.samples / wanted.rate) / 2
    samples = _cleaned(content, name, wanted)
    loud = loud_part(samples, wanted.rate, wanted.trim)
    start, stop, _ = loud.indices(len(samples))
    return (start + (stop - start - wanted.samples) / 2) / wanted.rate


def _cleaned(content: bytes, name: str, wanted: AudioInput) -> Samples:
    """At the model's rate, with less noise where that is asked for."""
    samples, rate = decode(content, name)
    if rate != wanted.rate:
        samples = _library("soxr").resample(samples, rate, wanted.rate, quality="HQ")
    if wanted.noise_reduction:
        samples = noise_reduced(samples, wanted.rate, wanted.noise_reduction)
    return samples


def trimmed(samples: Samples, rate: int, below_db: float) -> Samples:
    """Without the beginning and the end in which each 10 ms has less than the loudest 10 ms' power,
    by `below_db` or more. What has no power stays as it is.
    """
    return samples[loud_part(samples, rate, below_db)]


def loud_part(samples: Samples, rate: int, below_db: float) -> slice:
    """What `trimmed` keeps."""
    step = max(1, round(FRAME_S * rate))
    count = -(-len(samples) // step)
    padded = np.zeros(count * step, dtype=np.float64)
    padded[: len(samples)] = samples
    power = (padded**2).reshape(count, step).mean(axis=1)
    if not power.max(initial=0.0):
        return slice(None)
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    return slice(int(loud[0]) * step, int(loud[-1] + 1) * step)


def middle(samples: Samples, count: int) -> Samples:
    """At most `count` samples, from the middle."""
    start = max(0, len(samples) - count) // 2
    return samples[start : start + count]


def leveled(samples: Samples, level_db: float) -> Samples:
    """With a mean power of `level_db` (dB of full scale: 0 is a square wave of 1.0). Silence stays."""
    power = float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0
    if not power:
        return samples
    return samples * np.float32(10 ** (level_db / 20) / np.sqrt(power))


def check_libraries() -> None:
    """Before there is a recording. Raises SystemFault where one is missing."""
    for name in ("soundfile", "soxr"):
        _library(name)


def _library(name: str) -> Any:
    """soundfile or soxr, which only recordings need. Raises SystemFault where it is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):  # OSError: of libsndfile
        raise SystemFault(
            "recordings", f"the library {name}", "none", 'pip install "sixfold[speech]"'
        ) from None


def _facts(file: Any) -> AudioFacts:
    return AudioFacts(int(file.samplerate), int(file.channels), max(0, int(file.frames)))


@contextmanager
def _opened(content: bytes, name: str, limits: AudioLimits) -> Iterator[Any]:
    """The file, whose header is within `limits`. Inside, what libsndfile raises is a DataError."""
    kind = _kind(content, name, limits)
    _check_whole(content, kind, name)
    soundfile = _library("soundfile")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_header(_facts(file), name, limits)
            yield file
    except DataError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as error:
        reason = f"a damaged one ({str(error).partition(': ')[2][:120] or type(error).__name__})"
        raise DataError(name, f"a whole {kind} file", reason, REPAIR) from None


def _kind(content: bytes, name: str, limits: AudioLimits) -> str:
    """Which of FORMATS the first bytes are: libsndfile reads many more, which nobody asked for."""
    if not content:
        raise DataError(name, "a recording", "an empty file", REPAIR)
    if len(content) > limits.most_bytes:
        allowed = f"a sound file of at most {show_bytes(limits.most_bytes)}"
        raise DataError(name, allowed, show_bytes(len(content)), "Make it shorter.")
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "WAV"
    if content[:4] in (b"fLaC", b"OggS"):
        return "FLAC" if content[:4] == b"fLaC" else "OGG"
    if content[:3] == b"ID3" or (
        content[0] == 0xFF and len(content) > 1 and content[1] & 0xE0 == 0xE0
    ):
        return "MP3"
    known = ", ".join(FORMATS)
    raise DataError(
        name, f"a recording ({known})", seeming(content), "Convert it to WAV or FLAC, or remove it."
    )


def _check_whole(content: bytes, kind: str, name: str) -> None:
    """libsndfile reads what is there of a file that was cut. Raises DataError."""
    if kind == "WAV":
        promised, there = _wav_bytes(content)
        if promised > there:
            found = f"one that was cut: {there:,} of {promised:,} bytes of samples"
            raise DataError(name, "a whole WAV file", found, REPAIR)
    if kind == "OGG":
        last = content.rfind(b"OggS")
        if last + 6 > len(content) or not content[last + 5] & LAST_PAGE:
            raise DataError(name, "a whole OGG file", "one without its last page", REPAIR)


def _wav_bytes(content: bytes) -> tuple[int, int]:
    """Of samples: as many as the header says, and as many as there are; (0, 0) where there is no
    chunk of samples, which libsndfile refuses.
    """
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            there = len(content) - at - 8
            return (there if size in UNKNOWN_BYTES else size), there
        at += 8 + size + size % 2
    return 0, 0


def _check_header(facts: AudioFacts, name: str, limits: AudioLimits) -> None:
    """Before anything is decoded. Raises DataError."""
    low, high = limits.rates
    if not low <= facts.rate <= high:
        raise DataError(
            name, f"{low:,} to {high:,} samples a second", f"{facts.rate:,}", "Convert it."
        )
    if facts.channels > limits.most_channels:
        expected = f"at most {limits.most_channels} channels"
        raise DataError(name, expected, f"{facts.channels:,}", "Mix them.")
    if not facts.frames:
        raise DataError(name, "a recording", "one without samples", REPAIR)
    if facts.seconds > limits.most_s or facts.frames * facts.channels > limits.most_values:
        raise _too_long(name, f"{facts.seconds:,.0f} s of {facts.channels}", limits)


def _too_long(name: str, found: str, limits: AudioLimits) -> DataError:
    expected = f"a recording of at most {limits.most_s:g} s, {limits.most_values:,} samples of all channels"
    return DataError(name, expected, found, "Cut it into pieces.")


def _check_samples(samples: Samples, facts: AudioFacts, name: str) -> None:
    """Raises DataError for fewer than the header says, and for what is no number."""
    if not len(samples):
        raise DataError(name, "a recording", "one without samples", REPAIR)
    if len(samples) < facts.frames:
        found = f"one that was cut: {len(samples):,} of {facts.frames:,} samples"
        raise DataError(name, "a whole recording", found, REPAIR)
    if not np.isfinite(samples).all():
        raise DataError(name, "samples that are numbers", "infinite ones, or NaN", REPAIR)
