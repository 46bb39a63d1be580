"""A column of images: its values name files, which are read when they are asked for, and decoded and resized once a process."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from sixfold.bundle.images import ENDINGS as ENDINGS
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import CacheSettings, Fault, ImageCache, ImagePaths, fill, refused
from sixfold.parts.table import Column

KEPT: Final = 3  # caches: folds whose training rows ask for another size each would fill theirs again; guessed


def folder_of(where: str) -> Path:
    """What relative paths start from: the folder of the source, or the source where it is a folder."""
    path = Path(where)
    return path if path.is_dir() else path.parent


def references(column: Column) -> ImagePaths:
    """The images of a column's rows."""
    return ImagePaths(Path(), column.strings())


def contents(column: Column) -> list[bytes]:
    """The encoded images of a column's rows. Raises DataError with the file's name."""
    images = references(column)
    return [images.content(row) for row in range(len(images))]


class _FilledCache(NamedTuple):
    """`cache`: a row for each level of a column; those of `faults` (by level) hold another image's pixels."""

    cache: ImageCache
    faults: dict[int, Fault]


@dataclass
class _Caches:
    """Files of resized images in a temporary folder, by the images (a column's levels, which its slices share) and the shape."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[tuple[tuple[str, ...], ImageShape], _FilledCache] = field(default_factory=OrderedDict)
    folder: tempfile.TemporaryDirectory[str] | None = None
    count: int = 0
    most_bytes: int | None = None

    def of(self, levels: tuple[str, ...], shape: ImageShape) -> _FilledCache:
        """Filled now, or before."""
        with self.lock:
            found = self.held.get((levels, shape))
            if found is None:
                found = self.held[levels, shape] = self._filled(levels, shape)
            self.held.move_to_end((levels, shape))
            while len(self.held) > KEPT:
                self.held.popitem(last=False)[1].cache.path.unlink(missing_ok=True)
            return found

    def _filled(self, levels: tuple[str, ...], shape: ImageShape) -> _FilledCache:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="sixfold-images-")
        self.count += 1
        path = Path(self.folder.name) / f"{self.count}.bytes"
        cache, faults = fill(ImagePaths(Path(), levels), CacheSettings(path, shape, "skip", self.most_bytes))
        places = np.zeros(len(levels), dtype=np.int64)
        places[np.setdiff1d(np.arange(len(levels)), [fault.row for fault in faults])] = np.arange(len(cache))
        return _FilledCache(replace(cache, rows=places), {fault.row: fault for fault in faults})


_CACHES: Final = _Caches()


def limit_disk(most_bytes: int | None) -> None:
    """A cache of more bytes is refused from now on."""
    _CACHES.most_bytes = most_bytes


def resized(column: Column, shape: ImageShape) -> ImageCache:
    """The resized images of a column's rows: of all images of its parent at the first call, one by one and none from another.

    Raises DataError for images among these rows that cannot be used, BudgetError where there is no room for them.
    """
    faults = unusable(column, shape)
    if faults:
        raise refused(faults)
    return _CACHES.of(column.levels, shape).cache.take(column.values.astype("int64"))


def unusable(column: Column, shape: ImageShape) -> tuple[Fault, ...]:
    """The rows of a column whose images cannot be read, or are too large, and why."""
    found = _CACHES.of(column.levels, shape).faults
    codes = column.values.astype("int64")
    rows = np.flatnonzero(np.isin(codes, list(found)))
    return tuple(Fault(int(row), found[int(codes[row])].reason) for row in rows)
