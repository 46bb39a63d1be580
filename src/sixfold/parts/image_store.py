"""Images on disk: references to encoded files, decoded once, resized once, and kept as raw bytes in
one file of the run.

Never all in memory: what is read is read from the cache file at its place, so that the process
holds a batch and no more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from sixfold.bundle.images import Channels, Pixels, decode, is_color, size_of
from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, DataError
from sixfold.core.units import counted, show_bytes
from sixfold.parts.file_cells import content
from sixfold.parts.image_resize import ImageShape, Resizer
from sixfold.parts.stored import StoredFeatures
from sixfold.parts.table import IntArray

SURVEYED: Final = 1_000  # images whose headers are read to choose a size
LARGEST_SIDE: Final = (
    224  # of what is chosen where the recipe says nothing: what image networks are published for
)
SIDES: Final = 4  # a side is a multiple of it, so that a network can halve it twice
NAMED: Final = 5  # unreadable images that a message names
AT_ONCE: Final = 64  # images between two writes

Unreadable = Literal["refuse", "skip"]


class ImageReferences(Protocol):
    """Encoded images, each read only when it is asked for."""

    def __len__(self) -> int:
        """Images."""

    def name(self, row: int) -> str:
        """How messages call image `row`."""

    def content(self, row: int) -> bytes:
        """Its file's bytes. Raises DataError with its name."""


@dataclass(frozen=True)
class ImageFiles:
    """Images in files, or in cells of a Parquet file, by their names (`file_cells.content`)."""

    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """The file's path, or its file, column and row."""
        return self.names[row]

    def content(self, row: int) -> bytes:
        """The file's bytes. Raises DataError where it is absent or cannot be read."""
        return content(self.names[row])


def survey(images: ImageReferences) -> tuple[ImageShape, str]:
    """What images should become, and the reason, a sentence for the user: of up to SURVEYED
    headers, evenly chosen, the median of the shorter sides, at most LARGEST_SIDE; color where any
    has colors. Unreadable ones are left to `fill`.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, min(SURVEYED, len(images))).astype(np.int64))
    sides, colored = [], False
    for row in rows:
        try:
            encoded = images.content(int(row))
            sides.append(min(size_of(encoded, images.name(int(row)))))
            colored = colored or is_color(encoded, images.name(int(row)))
        except DataError:
            continue
    if not sides:
        raise DataError(
            images.name(0),
            "images",
            f"none that can be read among {len(rows):,}",
            "Check the export.",
        )
    median = float(np.median(sides))
    side = min(LARGEST_SIDE, max(SIDES, round(median / SIDES) * SIDES))
    shape = ImageShape(side, side, 3 if colored else 1)
    smaller = f", at most {LARGEST_SIDE}" if median > LARGEST_SIDE else ""
    return (
        shape,
        f"Images become {shape.describe()}: the median of the shorter sides is {median:g} pixels{smaller}.",
    )


class Fault(NamedTuple):
    """An image that could not be used, and why."""

    row: int
    reason: DataError


@dataclass(frozen=True)
class ImageCache:
    """Resized images in one file of bytes, [rows, height, width, channels] uint8; `rows` says which
    of them this is a view of.

    `digests`: the SHA-256 of every encoded image of the file, in its order.
    """

    path: Path
    shape: ImageShape
    digests: tuple[bytes, ...]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, rows=self.rows[rows])

    def read(self, rows: IntArray) -> Pixels:
        """uint8 [len(rows), height, width, channels] of rows of this view, in the order asked
        for.
        """
        found = np.empty((len(rows), self.shape.cells), dtype=np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for at, place in enumerate(self.rows[rows]):
                self._read_into(file.fileno(), found[at], int(place))
        return found.reshape(len(rows), self.shape.height, self.shape.width, self.shape.channels)

    def batches(self, size: int) -> Iterator[Pixels]:
        """All rows in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.read(np.arange(start, min(start + size, len(self))))

    def fingerprint(self) -> str:
        """SHA-256 over shape and encoded images of this view, in order."""
        sha = hashlib.sha256(repr(self.shape).encode())
        for row in self.rows:
            sha.update(self.digests[row])
        return sha.hexdigest()

    def _read_into(self, file: int, target: npt.NDArray[np.uint8], place: int) -> None:
        """Raises DataError where the file is shorter than it was written."""
        if os.preadv(file, [target.data], place * self.shape.cells) != self.shape.cells:
            remedy = "Delete the run folder and run again."
            raise DataError(
                str(self.path), f"{len(self.digests):,} cached images", "a shorter file", remedy
            )


@dataclass(frozen=True)
class StoredPixels(StoredFeatures):
    """Pixels as features [rows, cells], uint8, that stay on disk: a slice or an array of rows is
    read when it is asked for.
    """

    cache: ImageCache

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.cache), self.cache.shape.cells

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of what is read."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, rows: slice | IntArray) -> npt.NDArray[np.uint8]:
        """uint8 [rows, cells]."""
        wanted = (
            np.arange(*rows.indices(len(self)))
            if isinstance(rows, slice)
            else np.arange(len(self))[rows]
        )
        return self.cache.read(wanted).reshape(len(wanted), -1)

    def take(self, rows: IntArray) -> Self:
        """A view of some rows; reads nothing."""
        return replace(self, cache=self.cache.take(rows))

    def largest(self) -> float:
        """Of any pixel."""
        return 255.0

    def toarray(self) -> npt.NDArray[np.float32]:
        """All of them, in memory, for who can do no other."""
        return self[:].astype(np.float32)


@dataclass(frozen=True)
class CacheSettings:
    """How a cache is filled. `most_bytes`: of disk, or None for any; `unreadable`: whether one bad
    image refuses all.
    """

    path: Path
    shape: ImageShape
    unreadable: Unreadable = "refuse"
    most_bytes: int | None = None


def fill(
    images: ImageReferences, settings: CacheSettings, check: Callable[[], None] = lambda: None
) -> tuple[ImageCache, tuple[Fault, ...]]:
    """Decode and resize every image once, on all cores, into the file `settings.path`; `check` is
    called between batches.

    Returns the cache, of the images that could be used, and the others with their reasons. Raises
    DataError naming the images that cannot be used (unless they are skipped), BudgetError where the
    file would be too large.
    """
    _check_disk(len(images), settings)
    resize, digests, kept = Resizer(settings.shape), [], []
    faults: list[Fault] = []
    aside = settings.path.with_name(settings.path.name + ".tmp")
    with aside.open("wb") as file, ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(images), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(images)))
            for row, made in zip(
                rows, threads.map(lambda row: _made(images, row, resize), rows), strict=True
            ):
                if isinstance(made, DataError):
                    faults.append(Fault(row, made))
                    continue
                digests.append(made[0])
                kept.append(row)
                file.write(made[1])
            if faults and settings.unreadable == "refuse" and len(faults) >= NAMED:
                break
            check()
    if faults and (settings.unreadable == "refuse" or not kept):
        aside.unlink()
        raise refused(faults)
    aside.replace(settings.path)
    return ImageCache(settings.path, settings.shape, tuple(digests), np.arange(len(kept))), tuple(
        faults
    )


def describe_faults(faults: Sequence[Fault], images: int) -> str:
    """What was skipped, for the user: how many, and the first of them by name."""
    named = "; ".join(f"{fault.reason.where}: {fault.reason.found}" for fault in faults[:NAMED])
    more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
    are = "is" if len(faults) == 1 else "are"
    return f"{len(faults):,} of {counted(images, 'image')} cannot be used and {are} skipped ({named}{more})."


def _made(images: ImageReferences, row: int, resize: Resizer) -> tuple[bytes, bytes] | DataError:
    """Digest and resized pixels, or why there are none."""
    channels: Channels = resize.shape.channels
    try:
        encoded = images.content(row)
        pixels = decode(encoded, images.name(row), channels)
    except DataError as error:
        return error
    return hashlib.sha256(encoded).digest(), resize(pixels).tobytes()


def _check_disk(rows: int, settings: CacheSettings) -> None:
    needed = rows * settings.shape.cells
    if settings.most_bytes is not None and needed > settings.most_bytes:
        side = int(settings.shape.height * (settings.most_bytes / needed) ** 0.5)
        expected = f"room for {rows:,} images of {settings.shape.describe()} ({show_bytes(needed)})"
        remedy = f"Raise budget.disk, or make the images smaller (about {side} pixels)."
        raise BudgetError("budget.disk", expected, show_bytes(settings.most_bytes), remedy)


def refused(faults: Sequence[Fault]) -> DataError:
    """The first by name, the next few too."""
    first = faults[0].reason
    if len(faults) == 1:
        return first
    others = ", ".join(fault.reason.where for fault in faults[1:NAMED])
    found = f"{first.found}; others, too: {others}"
    remedy = f"{first.remedy} Or skip such images: data.read: {{unreadable: skip}}."
    return DataError(first.where, first.expected, found, remedy)
