"""A column of recordings: its values name files, which are read when they are asked for, and decoded
once a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from sixfold.bundle.audio import ENDINGS as ENDINGS
from sixfold.bundle.audio import facts_of
from sixfold.core.errors import DataError
from sixfold.parts import file_cells
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.sound_store import SoundCache, UnusableRecording, fill, refused, survey
from sixfold.parts.table import Column
from sixfold.recipe.audio import AudioInput

KEPT: Final = 3  # caches: folds whose training rows ask for another length each would fill theirs again; guessed


def contents(column: Column) -> Iterator[bytes]:
    """The sound files of a column's rows, one by one. Raises DataError with the file's name."""
    return map(file_cells.content, column.strings())


def is_recording(name: str) -> bool:
    """Whether the header of a file, or of a cell, is that of a recording."""
    try:
        return bool(facts_of(file_cells.content(name), name))
    except DataError:
        return False


def surveyed(column: Column) -> AudioInput:
    """What the recordings of a column become where nothing is said."""
    rate, seconds, _ = survey(column.strings())
    return AudioInput(name="audio_0", column="", rate=rate, samples=round(rate * seconds))


class _FilledSounds(NamedTuple):
    """`cache`: a row for each level of a column; those of `faults` (by level) hold another's samples."""

    cache: SoundCache
    faults: dict[int, UnusableRecording]


@dataclass
class _SoundCaches:
    """Files of samples, by the recordings (a column's levels, which its slices share) and what they
    become. They lie where other processes of the run, and the same run continued, find them.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[tuple[Path, tuple[str, ...], str], _FilledSounds] = field(
        default_factory=OrderedDict
    )

    def of(self, levels: tuple[str, ...], wanted: AudioInput) -> _FilledSounds:
        """Filled now, or before."""
        wanted = wanted.model_copy(update={"name": "audio_0", "column": ""})
        key = SCRATCH.folder(), levels, wanted.model_dump_json()
        with self.lock:
            found = self.held.get(key)
            if found is None or not found.cache.path.exists():
                found = self.held[key] = _filled(key[0], levels, wanted)
            self.held.move_to_end(key)
            while len(self.held) > KEPT:
                (folder, *_), old = self.held.popitem(last=False)
                if folder != SCRATCH.given:  # of a run's folder another process may read it
                    _index(old.cache.path).unlink(missing_ok=True)
                    old.cache.path.unlink(missing_ok=True)
            return found


_CACHES: Final = _SoundCaches()


def _filled(folder: Path, levels: tuple[str, ...], wanted: AudioInput) -> _FilledSounds:
    """Read back where these files, unchanged, were decoded before. Two processes may fill one at
    once: both write the same.
    """
    states = [wanted.model_dump(), [file_cells.state_of(level) for level in levels]]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()
    path = folder / f"{digest[:16]}.samples"
    if not _index(path).exists():
        aside = path.with_suffix(f".{os.getpid()}")
        cache, faults = fill(levels, wanted, aside, SCRATCH.most_bytes)
        aside.replace(path)
        _write_index(path, cache, faults)
    return _read_back(path, levels, wanted)


def _index(path: Path) -> Path:
    """What lies beside a file of samples, once it is whole."""
    return path.with_suffix(".json")


def _write_index(path: Path, cache: SoundCache, faults: tuple[UnusableRecording, ...]) -> None:
    told = [[row, why.where, why.expected, why.found, why.remedy] for row, why in faults]
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(
        json.dumps({"digests": [each.hex() for each in cache.digests], "faults": told})
    )
    aside.replace(_index(path))


def _read_back(path: Path, levels: tuple[str, ...], wanted: AudioInput) -> _FilledSounds:
    index = json.loads(_index(path).read_text())
    faults = {row: UnusableRecording(row, DataError(*reason)) for row, *reason in index["faults"]}
    digests = tuple(bytes.fromhex(each) for each in index["digests"])
    places = np.zeros(len(levels), dtype=np.int64)
    places[np.setdiff1d(np.arange(len(levels)), list(faults))] = np.arange(len(digests))
    return _FilledSounds(SoundCache(path, wanted.samples, digests, places), faults)


def decoded(column: Column, wanted: AudioInput) -> SoundCache:
    """The samples of a column's rows: of all recordings of its parent at the first call, one by one
    and none from another.

    Raises DataError for recordings among these rows that cannot be used, BudgetError where there is
    no room for them.
    """
    faults = unusable(column, wanted)
    if faults:
        raise refused(faults)
    return _CACHES.of(tuple(column.levels), wanted).cache.take(column.values.astype("int64"))


def unusable(column: Column, wanted: AudioInput) -> tuple[UnusableRecording, ...]:
    """The rows of a column whose recordings cannot be read, or are too long, and why."""
    found = _CACHES.of(tuple(column.levels), wanted).faults
    codes = column.values.astype("int64")
    rows = np.flatnonzero(np.isin(codes, list(found)))
    return tuple(UnusableRecording(int(row), found[int(codes[row])].reason) for row in rows)
