"""A column of images: its values name files, which are read when they are asked for, and decoded
and resized once a run.
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

from sixfold.bundle.images import ENDINGS as ENDINGS
from sixfold.bundle.images import size_of
from sixfold.core.errors import DataError
from sixfold.parts import file_cells
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import CacheSettings, Fault, ImageCache, ImageFiles, fill, refused
from sixfold.parts.scratch import SCRATCH
from sixfold.parts.table import Column

KEPT: Final = 3  # caches: folds whose training rows ask for another size each would fill theirs again; guessed


def references(column: Column) -> ImageFiles:
    """The images of a column's rows."""
    return ImageFiles(column.strings())


def contents(column: Column) -> Iterator[bytes]:
    """The encoded images of a column's rows, one by one. Raises DataError with the file's name."""
    images = references(column)
    return (images.content(row) for row in range(len(images)))


def is_image(name: str) -> bool:
    """Whether the header of a file, or of a cell, is an image's."""
    try:
        return bool(size_of(file_cells.content(name), name))
    except DataError:
        return False


class _FilledCache(NamedTuple):
    """`cache`: a row for each level of a column; those of `faults` (by level) hold another image's
    pixels.
    """

    cache: ImageCache
    faults: dict[int, Fault]


@dataclass
class _Caches:
    """Files of resized images, by the images (a column's levels, which its slices share) and the
    shape. They lie where other processes of the run, and the same run continued, find them.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[tuple[Path, tuple[str, ...], ImageShape], _FilledCache] = field(
        default_factory=OrderedDict
    )

    def of(self, levels: tuple[str, ...], shape: ImageShape) -> _FilledCache:
        """Filled now, or before."""
        with self.lock:
            key = SCRATCH.folder(), levels, shape
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


_CACHES: Final = _Caches()


def _filled(folder: Path, levels: tuple[str, ...], shape: ImageShape) -> _FilledCache:
    """Read back where these files, unchanged, were resized before. Two processes may fill one at
    once: both write the same.
    """
    states = json.dumps([repr(shape), [file_cells.state_of(level) for level in levels]])
    path = folder / f"{hashlib.sha256(states.encode()).hexdigest()[:16]}.pixels"
    if not _index(path).exists():
        aside = path.with_suffix(f".{os.getpid()}")
        cache, faults = fill(
            ImageFiles(levels), CacheSettings(aside, shape, "skip", SCRATCH.most_bytes)
        )
        aside.replace(path)
        _write_index(path, cache, faults)
    return _read_back(path, levels, shape)


def _index(path: Path) -> Path:
    """What lies beside a file of pixels, once it is whole."""
    return path.with_suffix(".json")


def _write_index(path: Path, cache: ImageCache, faults: tuple[Fault, ...]) -> None:
    told = [
        [
            fault.row,
            fault.reason.where,
            fault.reason.expected,
            fault.reason.found,
            fault.reason.remedy,
        ]
        for fault in faults
    ]
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(
        json.dumps({"digests": [each.hex() for each in cache.digests], "faults": told})
    )
    aside.replace(_index(path))


def _read_back(path: Path, levels: tuple[str, ...], shape: ImageShape) -> _FilledCache:
    index = json.loads(_index(path).read_text())
    faults = {row: Fault(row, DataError(*reason)) for row, *reason in index["faults"]}
    digests = tuple(bytes.fromhex(each) for each in index["digests"])
    places = np.zeros(len(levels), dtype=np.int64)
    places[np.setdiff1d(np.arange(len(levels)), list(faults))] = np.arange(len(digests))
    return _FilledCache(ImageCache(path, shape, digests, places), faults)


def resized(column: Column, shape: ImageShape) -> ImageCache:
    """The resized images of a column's rows: of all images of its parent at the first call, one by
    one and none from another.

    Raises DataError for images among these rows that cannot be used, BudgetError where there is no
    room for them.
    """
    faults = unusable(column, shape)
    if faults:
        raise refused(faults)
    return _CACHES.of(tuple(column.levels), shape).cache.take(column.values.astype("int64"))


def unusable(column: Column, shape: ImageShape) -> tuple[Fault, ...]:
    """The rows of a column whose images cannot be read, or are too large, and why."""
    found = _CACHES.of(tuple(column.levels), shape).faults
    codes = column.values.astype("int64")
    rows = np.flatnonzero(np.isin(codes, list(found)))
    return tuple(Fault(int(row), found[int(codes[row])].reason) for row in rows)
