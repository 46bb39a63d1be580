"""What columns of files have in common, of images and of recordings alike."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from sixfold.parts.decoded_column import contents
from sixfold.parts.decoded_rows import UnusableFile, describe_faults
from sixfold.parts.file_cells import ending_of
from sixfold.parts.modality import ModalityBlock, RawColumn, UnusableRows
from sixfold.parts.table import Column, Table
from sixfold.prepare.step import Training
from sixfold.recipe.section import Section

LOOKED_FILES: Final = 5  # of a column of names of files


class FileNames(NamedTuple):
    """What one file is called, `image`, and several, `image files`; what their names end with."""

    noun: str
    plural: str
    endings: frozenset[str]


class FileModality(Section, ABC):
    """A modality whose values are files: their names, or their bytes in cells."""

    looked_at_first: ClassVar[bool] = True
    unseen: ClassVar[str] = ""
    columns: ClassVar[int] = 1

    plural: ClassVar[str]
    files: ClassVar[FileNames]

    @abstractmethod
    def is_one(self, name: str) -> bool:
        """Whether the header of a file, or of a cell, is one of these."""

    @abstractmethod
    def faults(self, column: Column) -> tuple[UnusableFile, ...]:
        """The rows whose files cannot be used, and why."""

    def why(self, raw: RawColumn) -> str:
        """Names of such files that are there, or the bytes of such files: the first few tell, of
        which one may be damaged.
        """
        some = raw.levels[:LOOKED_FILES]
        if raw.in_cells:
            return f"bytes of {self.plural}" if 2 * sum(map(self.is_one, some)) > len(some) else ""
        named = bool(some) and all(
            Path(level).suffix.lower() in self.files.endings for level in some
        )
        there = named and all((raw.folder / level).is_file() for level in some)
        return f"names of {self.files.plural}" if there else ""

    def notes(self, name: str, column: Column) -> tuple[str, ...]:
        """None."""
        return ()

    def unusable(self, column: Column) -> UnusableRows | None:
        """Files that are of no such kind, damaged, or too large."""
        faults = self.faults(column)
        if not faults:
            return None
        rows = np.array([fault.row for fault in faults], dtype=np.int64)
        return UnusableRows(rows, describe_faults(faults, len(column.values), self.files.noun))

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

    def block(self, name: str, method: Any, table: Table, training: Training) -> ModalityBlock:
        """Fit on the files of `table`: what each of them becomes."""
        found: ModalityBlock = method.block(name, table)
        return found
