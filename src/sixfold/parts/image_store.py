"""Images on disk: encoded files, decoded once, resized once, and kept as raw bytes in one file of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from sixfold.bundle.images import Pixels, decode, is_color, size_of
from sixfold.core.errors import DataError
from sixfold.parts.decoded_rows import DecodedRows, RowFeatures, UnusableFile, refused
from sixfold.parts.file_cells import content
from sixfold.parts.image_resize import ImageShape, Resizer
from sixfold.parts.table import IntArray

SURVEYED: Final = 1_000  # images whose headers are read to choose a size
LARGEST_SIDE: Final = (
    224  # of what is chosen where the recipe says nothing: what image networks are published for
)
SIDES: Final = 4  # a side is a multiple of it, so that a network can halve it twice


def survey(names: Sequence[str]) -> tuple[ImageShape, str]:
    """What images should become, and the reason, a sentence for the user: of up to SURVEYED
    headers, evenly chosen, the median of the shorter sides, at most LARGEST_SIDE; color where any
    has colors. Unreadable ones are left to `fill`.
    """
    rows = np.unique(np.linspace(0, len(names) - 1, min(SURVEYED, len(names))).astype(np.int64))
    sides, colored = [], False
    for row in rows.tolist():
        try:
            encoded = content(names[row])
            sides.append(min(size_of(encoded, names[row])))
            colored = colored or is_color(encoded, names[row])
        except DataError:
            continue
    if not sides:
        raise DataError(
            names[0],
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


@dataclass(frozen=True)
class ImageCache(DecodedRows):
    """Resized images, uint8, all of one shape."""

    shape: ImageShape

    noun: ClassVar[str] = "image"
    dtype: ClassVar[np.dtype[np.uint8]] = np.dtype(np.uint8)

    @property
    def cells(self) -> int:
        """Bytes of an image."""
        return self.shape.cells

    def images(self, rows: IntArray) -> Pixels:
        """uint8 [len(rows), height, width, channels], as `read`."""
        shape = self.shape
        return self.read(rows).reshape(len(rows), shape.height, shape.width, shape.channels)

    def batches(self, size: int) -> Iterator[Pixels]:
        """All images in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.images(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True)
class StoredPixels(RowFeatures[ImageCache]):
    """Pixels as features [rows, cells], uint8, that stay on disk."""

    def largest(self) -> float:
        """Of any pixel."""
        return 255.0


@dataclass(frozen=True)
class ImageDecoder:
    """Makes images of `shape`."""

    shape: ImageShape
    ending: ClassVar[str] = ".pixels"

    @property
    def row_bytes(self) -> int:
        """Of an image."""
        return self.shape.cells

    def describe(self) -> str:
        """ "images of 224 × 224, color" """
        return f"images of {self.shape.describe()}"

    def identity(self) -> str:
        """The shape."""
        return repr(self.shape)

    def decoding(self) -> Callable[[bytes, str], Pixels]:
        """uint8 [height, width, channels] of an encoded image."""
        resize = Resizer(self.shape)
        return lambda encoded, name: resize(decode(encoded, name, self.shape.channels))

    def opened(self, path: Path, digests: tuple[bytes, ...], rows: IntArray) -> ImageCache:
        """Of a file that was filled."""
        return ImageCache(path, digests, rows, self.shape)

    def remedy(self, share: float) -> str:
        """A smaller side."""
        return f"make the images smaller (about {int(self.shape.height * share**0.5)} pixels)"

    def refused(self, faults: Sequence[UnusableFile]) -> DataError:
        """One image as it is; more of them may be skipped."""
        return faults[0].reason if len(faults) == 1 else refused(faults, "image")
