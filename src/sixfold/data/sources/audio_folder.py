"""A folder of recordings: one subfolder a class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from sixfold.bundle.audio import ENDINGS
from sixfold.core.memory import MemoryLimit
from sixfold.data.class_folder import FileKind, read_classes
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section


class Settings(Section):
    """Recordings of a folder with a subfolder a class: a column `audio` with the path of each, and
    `label`.
    """

    endings: ClassVar[frozenset[str]] = ENDINGS

    path: Path = Field(description="The folder.")

    @classmethod
    def of_folder(cls, path: Path, data: Data) -> Self:
        """The folder."""
        return cls(path=path)

    def read(self, memory: MemoryLimit | None = None) -> Raw:
        """All paths; the recordings are read when they are needed. Raises DataError."""
        return read_classes(self.path, FileKind("recording", self.endings), "audio", memory)
