"""Columns of images."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from sixfold.parts import image_column
from sixfold.parts.decoded_column import contents
from sixfold.parts.decoded_rows import describe_faults
from sixfold.parts.file_cells import ending_of
from sixfold.parts.fit import Needs
from sixfold.parts.image_store import survey
from sixfold.parts.modality import Copies, ModalityBlock, RawColumn, Suggestion, UnusableRows
from sixfold.parts.table import Column, Table, Task
from sixfold.prepare.image_duplicates import describe_groups, duplicate_groups
from sixfold.prepare.step import Training
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.section import Section

LOOKED_FILES: Final = 5  # of a column of names of images


class Settings(Section):
    """Images: names of files that are there, relative ones from the folder of the source; or a
    Parquet file's column of bytes.
    """

    plural: ClassVar[str] = "images"
    looked_at_first: ClassVar[bool] = True
    unseen: ClassVar[str] = ""
    columns: ClassVar[int] = 1

    def why(self, raw: RawColumn) -> str:
        """Names of image files that are there, or the bytes of such files: the first few tell, of
        which one may be damaged.
        """
        some = raw.levels[:LOOKED_FILES]
        if raw.in_cells:
            return (
                "bytes of images" if 2 * sum(map(image_column.is_image, some)) > len(some) else ""
            )
        named = bool(some) and all(
            Path(level).suffix.lower() in image_column.ENDINGS for level in some
        )
        return (
            "names of image files"
            if named and all((raw.folder / level).is_file() for level in some)
            else ""
        )

    def column(self, raw: RawColumn) -> Column:
        """Paths. Raises DataError for a row without an image."""
        return raw.as_files("image", "an image")

    def notes(self, name: str, column: Column) -> tuple[str, ...]:
        """None."""
        return ()

    def copies(self, column: Column) -> Copies | None:
        """Equal files, and those that look equal; resized as training will most likely want them,
        so that the cache serves it.
        """
        units = duplicate_groups(image_column.resized(column, survey(column.strings())[0]))
        told = describe_groups(units)
        return Copies(units, told) if told else None

    def unusable(self, column: Column) -> UnusableRows | None:
        """Files that are no images, or too large."""
        faults = image_column.unusable(column, survey(column.strings())[0])
        rows = np.array([fault.row for fault in faults], dtype=np.int64)
        return (
            UnusableRows(rows, describe_faults(faults, len(column.values), "image"))
            if faults
            else None
        )

    def summary(self, column: Column) -> str:
        """How many files of each ending."""
        endings = Counter(map(ending_of, column.strings()))
        return ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(5))

    def values(self, column: Column) -> list[bytes]:
        """The files' bytes."""
        return list(contents(column))

    def as_text(self, column: Column) -> list[str]:
        """These as base64."""
        return [base64.b64encode(content).decode() for content in contents(column)]

    def contents(self, column: Column) -> Iterator[bytes]:
        """What the files hold now."""
        return contents(column)

    def suggestions(self, task: Task) -> Sequence[Suggestion]:
        """None: the families of tables take pixels."""
        return ()

    def method(self, needs: Needs) -> Options:
        """Pixels, of the size and in the colors that the family needs."""
        return {"name": "pixels"} | (
            {"side": needs.image_side, "color": True} if needs.image_side else {}
        )

    def block(self, name: str, method: Any, table: Table, training: Training) -> ModalityBlock:
        """Fit on the images: as pixels, their size, and whether any has colors."""
        found: ModalityBlock = method.block(name, table)
        return found
