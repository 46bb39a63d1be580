"""Columns of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sixfold.bundle.images import ENDINGS
from sixfold.parts import image_column
from sixfold.parts.decoded_rows import UnusableFile
from sixfold.parts.fit import Needs
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import survey
from sixfold.parts.modality import Copies, RawColumn, Suggestion
from sixfold.parts.table import Column, Task
from sixfold.prepare.file_modality import FileModality, FileNames
from sixfold.prepare.image_duplicates import describe_groups, duplicate_groups
from sixfold.recipe.plugin_fields import Options


class Settings(FileModality):
    """Images: names of files that are there, relative ones from the folder of the source; or a
    Parquet file's column of bytes.
    """

    plural: ClassVar[str] = "images"
    files: ClassVar[FileNames] = FileNames("image", "image files", ENDINGS)

    def is_one(self, name: str) -> bool:
        """By its header."""
        return image_column.is_image(name)

    def column(self, raw: RawColumn) -> Column:
        """Paths. Raises DataError for a row without an image."""
        return raw.as_files("image", "an image")

    def copies(self, column: Column) -> Copies | None:
        """Equal files, and those that look equal; resized as training will most likely want them,
        so that the cache serves it.
        """
        units = duplicate_groups(image_column.resized(column, _surveyed(column)))
        told = describe_groups(units)
        return Copies(units, told) if told else None

    def faults(self, column: Column) -> tuple[UnusableFile, ...]:
        """Files that are no images, or too large."""
        return image_column.unusable(column, _surveyed(column))

    def suggestions(self, task: Task) -> Sequence[Suggestion]:
        """None: the families of tables take pixels."""
        return ()

    def method(self, needs: Needs) -> Options:
        """Pixels, of the size and in the colors that the family needs."""
        return {"name": "pixels"} | (
            {"side": needs.image_side, "color": True} if needs.image_side else {}
        )


def _surveyed(column: Column) -> ImageShape:
    """What the images of a column become where nothing is said."""
    return survey(column.strings())[0]
