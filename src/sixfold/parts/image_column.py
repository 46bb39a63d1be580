"""A column of images: its values name files, which are read when they are asked for, and decoded
and resized once a run.
"""

from __future__ import annotations

from typing import Final

from sixfold.bundle.images import size_of
from sixfold.core.errors import DataError
from sixfold.parts import file_cells
from sixfold.parts.decoded_column import DecodedColumns
from sixfold.parts.decoded_rows import UnusableFile
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import ImageCache, ImageDecoder
from sixfold.parts.table import Column

_COLUMNS: Final = DecodedColumns[ImageCache]()


def is_image(name: str) -> bool:
    """Whether the header of a file, or of a cell, is an image's."""
    try:
        return bool(size_of(file_cells.content(name), name))
    except DataError:
        return False


def resized(column: Column, shape: ImageShape) -> ImageCache:
    """The resized images of a column's rows. Raises DataError, BudgetError."""
    return _COLUMNS.decoded(column, ImageDecoder(shape))


def unusable(column: Column, shape: ImageShape) -> tuple[UnusableFile, ...]:
    """The rows of a column whose images cannot be read, or are too large, and why."""
    return _COLUMNS.unusable(column, ImageDecoder(shape))
