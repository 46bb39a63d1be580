"""Recordings on disk: sound files, decoded once and kept as whole numbers of 16 bits in one file of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from sixfold.bundle.audio import AudioFacts, Whole, facts_of, recorded
from sixfold.core.errors import DataError
from sixfold.parts.decoded_rows import DecodedRows, RowFeatures, UnusableFile, refused
from sixfold.parts.file_cells import content
from sixfold.parts.table import IntArray
from sixfold.recipe.audio import AudioInput

SURVEYED: Final = 1_000  # recordings whose headers are read to choose rate and length
HIGHEST_CHOSEN_RATE: Final = 16_000  # what speech is recognized by
LONGEST_CHOSEN_S: Final = 10.0
STEP_S: Final = 0.25  # lengths are multiples of it, so that folds agree about one
SHARE: Final = 0.95  # of the recordings that fit whole


def survey(
    names: Sequence[str], share: float = SHARE, longest_s: float = LONGEST_CHOSEN_S
) -> tuple[int, float, str]:
    """The rate in Hz and the seconds that recordings should become, and the reason, a sentence for
    the user: of up to SURVEYED headers, evenly chosen, the commonest rate and the length that `share`
    of them do not exceed, `longest_s` at most. Unusable ones are left to `fill`. Raises DataError where
    none is usable.
    """
    rows = np.unique(np.linspace(0, len(names) - 1, min(SURVEYED, len(names))).astype(np.int64))
    found: list[AudioFacts] = []
    for row in rows.tolist():
        try:
            found.append(facts_of(content(names[row]), names[row]))
        except DataError as error:
            first = error
    if not found:
        raise first
    rates = Counter(facts.rate for facts in found)
    commonest = max(rates, key=lambda rate: (rates[rate], rate))
    rate = min(HIGHEST_CHOSEN_RATE, commonest)
    longest = float(np.quantile([facts.seconds for facts in found], share))
    seconds = min(longest_s, max(STEP_S, STEP_S * float(np.ceil(longest / STEP_S))))
    return (
        rate,
        seconds,
        f"Recordings become {seconds:g} s at {rate:,} Hz, mono: {share:.0%} are at most {longest:.2f} s long, "
        f"most have {commonest:,} Hz.",
    )


@dataclass(frozen=True)
class SoundCache(DecodedRows):
    """Recordings, int16, all of so many samples."""

    samples: int

    noun: ClassVar[str] = "recording"
    dtype: ClassVar[np.dtype[np.int16]] = np.dtype("<i2")

    @property
    def cells(self) -> int:
        """Samples of a recording."""
        return self.samples


@dataclass(frozen=True)
class StoredSamples(RowFeatures[SoundCache]):
    """Samples as features [rows, samples], int16, that stay on disk."""

    def largest(self) -> float:
        """Of any sample."""
        return 32768.0


@dataclass(frozen=True)
class SoundDecoder:
    """Makes what a model takes of recordings."""

    wanted: AudioInput
    ending: ClassVar[str] = ".samples"

    @property
    def row_bytes(self) -> int:
        """Of a recording."""
        return SoundCache.dtype.itemsize * self.wanted.samples

    def describe(self) -> str:
        """ "recordings of 0.75 s at 8,000 Hz, mono" """
        return f"recordings of {self.wanted.describe()}"

    def identity(self) -> dict[str, Any]:
        """All of what is wanted."""
        return self.wanted.model_dump()

    def decoding(self) -> Callable[[bytes, str], Whole]:
        """int16 [samples] of a sound file."""
        wanted, dtype = self.wanted, SoundCache.dtype
        return lambda encoded, name: recorded(encoded, name, wanted).astype(dtype, copy=False)

    def opened(self, path: Path, digests: tuple[bytes, ...], rows: IntArray) -> SoundCache:
        """Of a file that was filled."""
        return SoundCache(path, digests, rows, self.wanted.samples)

    def remedy(self, share: float) -> str:
        """The options that say how many samples there are."""
        return "lower prepare.features.audio: seconds, or rate"

    def refused(self, faults: Sequence[UnusableFile]) -> DataError:
        """All may be skipped."""
        return refused(faults, "recording")
