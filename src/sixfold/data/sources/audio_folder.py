"""A folder of recordings: one subfolder a class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

import pyarrow as pa
from pydantic import Field

from sixfold.bundle.audio import ENDINGS
from sixfold.core.memory import MemoryLimit
from sixfold.data.class_folder import FileKind, labeled_files
from sixfold.data.source import Raw
from sixfold.recipe.schema import Data
from sixfold.recipe.section import Section

AUDIO, LABEL = "audio", "label"
HELD: Final = 1_000  # bytes of a file's path and label while they are read; guessed


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
        found = labeled_files(self.path, FileKind("recording", self.endings))
        (memory or MemoryLimit.of(None)).plan(
            str(self.path), f"{len(found.paths):,} paths", HELD * len(found.paths)
        )
        columns = {
            AUDIO: pa.chunked_array([pa.array(found.paths, pa.large_string())]),
            LABEL: pa.chunked_array([pa.array(found.labels, pa.string())]),
        }
        told = (found.describe(),) if found.skipped else ()
        return Raw(
            columns, len(found.paths), str(self.path), lambda row: found.paths[row], warnings=told
        )
