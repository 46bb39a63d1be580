"""A column of images, or of recordings, decoded once a run: its files of rows, by the encoded files
that they were made of.
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
from typing import Final, Generic, NamedTuple

import numpy as np

from sixfold.core.errors import DataError
from sixfold.parts import file_cells
from sixfold.parts.decoded_rows import Decoder, R, UnusableFile, fill
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.table import Column

KEPT: Final = 3  # files of rows: folds whose training rows ask for another size each would fill theirs again; guessed


def contents(column: Column) -> Iterator[bytes]:
    """The encoded files of a column's rows, one by one. Raises DataError with the file's name."""
    return map(file_cells.content, column.strings())


class FilledRows(NamedTuple, Generic[R]):
    """`cache`: a row for each level of a column; those of `faults` (by level) hold another file's
    numbers.
    """

    cache: R
    faults: dict[int, UnusableFile]


@dataclass
class DecodedColumns(Generic[R]):
    """Files of rows, by the encoded files (a column's levels, which its slices share) and what
    decodes them. They lie where other processes of the run, and the same run continued, find them.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[tuple[Path, tuple[str, ...], Decoder[R]], FilledRows[R]] = field(
        default_factory=OrderedDict
    )

    def decoded(self, column: Column, decoder: Decoder[R]) -> R:
        """The rows of a column: of all files of its parent at the first call, one by one and none
        from another.

        Raises DataError for files among these rows that cannot be used, BudgetError where there is
        no room for them.
        """
        faults = self.unusable(column, decoder)
        if faults:
            raise decoder.refused(faults)
        found = self._of(tuple(column.levels), decoder).cache
        return found.take(column.values.astype("int64"))

    def unusable(self, column: Column, decoder: Decoder[R]) -> tuple[UnusableFile, ...]:
        """The rows of a column whose files cannot be used, and why."""
        found = self._of(tuple(column.levels), decoder).faults
        codes = column.values.astype("int64")
        rows = np.flatnonzero(np.isin(codes, list(found)))
        return tuple(UnusableFile(int(row), found[int(codes[row])].reason) for row in rows)

    def _of(self, levels: tuple[str, ...], decoder: Decoder[R]) -> FilledRows[R]:
        """Now, or before."""
        with self.lock:
            key = SCRATCH.folder(), levels, decoder
            found = self.held.get(key)
            if found is None or not found.cache.path.exists():
                found = self.held[key] = _filled(*key)
            self.held.move_to_end(key)
            while len(self.held) > KEPT:
                (folder, *_), old = self.held.popitem(last=False)
                if folder != SCRATCH.given:  # of a run's folder another process may read it
                    _index(old.cache.path).unlink(missing_ok=True)
                    old.cache.path.unlink(missing_ok=True)
            return found


def _filled(folder: Path, levels: tuple[str, ...], decoder: Decoder[R]) -> FilledRows[R]:
    """Read back where these files, unchanged, were decoded before. Two processes may fill one at
    once: both write the same.
    """
    states = [decoder.identity(), [file_cells.state_of(level) for level in levels]]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()
    path = folder / f"{digest[:16]}{decoder.ending}"
    if not _index(path).exists():
        aside = path.with_suffix(f".{os.getpid()}")
        cache, faults = fill(levels, decoder, aside, SCRATCH.most_bytes)
        aside.replace(path)
        _write_index(path, cache.digests, faults)
    return _read_back(path, levels, decoder)


def _index(path: Path) -> Path:
    """What lies beside a file of rows, once it is whole."""
    return path.with_suffix(".json")


def _write_index(path: Path, digests: tuple[bytes, ...], faults: tuple[UnusableFile, ...]) -> None:
    index = {
        "digests": [each.hex() for each in digests],
        "faults": [[row, why.where, why.expected, why.found, why.remedy] for row, why in faults],
    }
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(index))
    aside.replace(_index(path))


def _read_back(path: Path, levels: tuple[str, ...], decoder: Decoder[R]) -> FilledRows[R]:
    index = json.loads(_index(path).read_text())
    faults = {row: UnusableFile(row, DataError(*reason)) for row, *reason in index["faults"]}
    digests = tuple(bytes.fromhex(each) for each in index["digests"])
    places = np.zeros(len(levels), dtype=np.int64)
    places[np.setdiff1d(np.arange(len(levels)), list(faults))] = np.arange(len(digests))
    return FilledRows(decoder.opened(path, digests, places), faults)
