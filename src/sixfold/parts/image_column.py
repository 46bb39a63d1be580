"""A column of images: its values name files, which are read when they are asked for, and decoded and resized once a process."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sixfold.bundle.images import ENDINGS as ENDINGS
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import CacheSettings, ImageCache, ImagePaths, fill
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


@dataclass
class _Caches:
    """Files of resized images in a temporary folder, by the images (a column's levels, which its slices share) and the shape."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[tuple[tuple[str, ...], ImageShape], ImageCache] = field(default_factory=OrderedDict)
    folder: tempfile.TemporaryDirectory[str] | None = None
    count: int = 0

    def of(self, levels: tuple[str, ...], shape: ImageShape) -> ImageCache:
        """Filled now, or before."""
        with self.lock:
            found = self.held.get((levels, shape))
            if found is None:
                found = self.held[levels, shape] = self._filled(levels, shape)
            self.held.move_to_end((levels, shape))
            while len(self.held) > KEPT:
                self.held.popitem(last=False)[1].path.unlink(missing_ok=True)
            return found

    def _filled(self, levels: tuple[str, ...], shape: ImageShape) -> ImageCache:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="sixfold-images-")
        self.count += 1
        path = Path(self.folder.name) / f"{self.count}.bytes"
        return fill(ImagePaths(Path(), levels), CacheSettings(path, shape))[0]


_CACHES: Final = _Caches()


def resized(column: Column, shape: ImageShape) -> ImageCache:
    """The resized images of a column's rows: of all images of its parent at the first call, one by one and none from another.

    Raises DataError for an image that cannot be used.
    """
    return _CACHES.of(column.levels, shape).take(column.values.astype("int64"))
