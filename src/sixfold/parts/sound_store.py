"""Recordings on disk: references to sound files, decoded once and kept as whole numbers of 16 bits in one
file of the run.

Never all in memory: what is read is read from the cache file at its place, so that the process
holds a batch and no more.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sixfold.bundle.audio import AudioFacts, Whole, facts_of, recorded
from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, DataError
from sixfold.core.units import counted, show_bytes
from sixfold.parts.file_cells import content
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import IntArray
from sixfold.recipe.audio import AudioInput

SURVEYED: Final = 1_000  # recordings whose headers are read to choose rate and length
HIGHEST_CHOSEN_RATE: Final = 16_000  # what speech is recognized by
LONGEST_CHOSEN_S: Final = 10.0
STEP_S: Final = 0.25  # lengths are multiples of it, so that folds agree about one
SHARE: Final = 0.95  # of the recordings that fit whole
NAMED: Final = 5  # unusable recordings that a message names
AT_ONCE: Final = 64  # recordings between two writes
BYTES: Final = 2  # of a sample


class UnusableRecording(NamedTuple):
    """A recording that could not be used, and why."""

    row: int
    reason: DataError


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
class SoundCache:
    """Recordings in one file, int16 [rows, samples]; `rows` says which of them this is a view of.

    `digests`: the SHA-256 of every sound file, in their order.
    """

    path: Path
    samples: int
    digests: tuple[bytes, ...]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, rows=self.rows[rows])

    def read(self, rows: IntArray) -> Whole:
        """int16 [len(rows), samples] of rows of this view, in the order asked for. Raises DataError
        where the file is shorter than it was written.
        """
        found, size = np.empty((len(rows), self.samples), dtype="<i2"), BYTES * self.samples
        with self.path.open("rb", buffering=0) as file:
            for at, place in enumerate(self.rows[rows].tolist()):
                if os.preadv(file.fileno(), [found[at].data], place * size) != size:
                    expected = f"{len(self.digests):,} cached recordings"
                    remedy = "Delete the run folder and run again."
                    raise DataError(str(self.path), expected, "a shorter file", remedy)
        return found


@dataclass(frozen=True)
class StoredSamples(StoredFeatures):
    """Samples as features [rows, samples], int16, that stay on disk: a slice or an array of rows is
    read when it is asked for.
    """

    cache: SoundCache

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.cache), self.cache.samples

    @property
    def dtype(self) -> np.dtype[np.int16]:
        """Of what is read."""
        return np.dtype(np.int16)

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, rows: slice | IntArray) -> Whole:
        """int16 [rows, samples]."""
        wanted = (
            np.arange(*rows.indices(len(self)))
            if isinstance(rows, slice)
            else np.arange(len(self))[rows]
        )
        return self.cache.read(wanted)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, cache=self.cache.take(rows))

    def largest(self) -> float:
        """Of any sample."""
        return 32768.0

    def toarray(self) -> npt.NDArray[np.float32]:
        """All of them, in memory, for who can do no other."""
        return self[:].astype(np.float32)


def fill(
    names: Sequence[str], wanted: AudioInput, path: Path, most_bytes: int | None
) -> tuple[SoundCache, tuple[UnusableRecording, ...]]:
    """Decode every recording once, on all cores, into the file `path`: the cache, of those that
    could be used, and the others with their reasons. `most_bytes`: of disk, None for any.

    Raises DataError where none can be used, BudgetError where the file would be too large.
    """
    _check_disk(len(names), wanted, most_bytes)
    digests, kept = [], []
    faults: list[UnusableRecording] = []
    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file, ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(names), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(names)))
            made = threads.map(lambda row: _made(names[row], wanted), rows)
            for row, one in zip(rows, made, strict=True):
                if isinstance(one, DataError):
                    faults.append(UnusableRecording(row, one))
                    continue
                digests.append(one[0])
                kept.append(row)
                file.write(one[1])
    if not kept:
        aside.unlink()
        raise refused(faults)
    aside.replace(path)
    return SoundCache(path, wanted.samples, tuple(digests), np.arange(len(kept))), tuple(faults)


def describe_faults(faults: Sequence[UnusableRecording], recordings: int) -> str:
    """What was skipped, for the user: how many, and the first of them by name."""
    named = "; ".join(f"{fault.reason.where}: {fault.reason.found}" for fault in faults[:NAMED])
    more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    are = "is" if len(faults) == 1 else "are"
    return f"{len(faults):,} of {counted(recordings, 'recording')} cannot be used and {are} skipped ({named}{more})."


def refused(faults: Sequence[UnusableRecording]) -> DataError:
    """The first by name, the next few too."""
    first = faults[0].reason
    remedy = f"{first.remedy} Or skip such recordings: data.read: {{unreadable: skip}}."
    if len(faults) == 1:
        return DataError(first.where, first.expected, first.found, remedy)
    others = ", ".join(fault.reason.where for fault in faults[1:NAMED])
    return DataError(first.where, first.expected, f"{first.found}; others, too: {others}", remedy)


def _made(name: str, wanted: AudioInput) -> tuple[bytes, bytes] | DataError:
    """Digest and samples, or why there are none."""
    try:
        encoded = content(name)
        samples = recorded(encoded, name, wanted)
    except DataError as error:
        return error
    return hashlib.sha256(encoded).digest(), samples.astype("<i2").tobytes()


def _check_disk(rows: int, wanted: AudioInput, most_bytes: int | None) -> None:
    needed = rows * wanted.samples * BYTES
    if most_bytes is not None and needed > most_bytes:
        expected = f"room for {rows:,} recordings of {wanted.describe()} ({show_bytes(needed)})"
        remedy = "Raise budget.disk, or lower prepare.features.audio: seconds, or rate."
        raise BudgetError("budget.disk", expected, show_bytes(most_bytes), remedy)
