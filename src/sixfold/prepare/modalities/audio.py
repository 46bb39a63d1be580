"""Columns of recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sixfold.bundle.audio import ENDINGS
from sixfold.core.units import counted
from sixfold.parts import sound_column
from sixfold.parts.decoded_column import contents
from sixfold.parts.decoded_rows import UnusableFile
from sixfold.parts.fit import Needs
from sixfold.parts.modality import Copies, RawColumn, Suggestion
from sixfold.parts.table import Column, Task
from sixfold.prepare.file_modality import FileModality, FileNames
from sixfold.recipe.plugin_fields import Options


class Settings(FileModality):
    """Recordings: names of sound files that are there, relative ones from the folder of the source;
    or a Parquet file's column of bytes.
    """

    plural: ClassVar[str] = "recordings"
    files: ClassVar[FileNames] = FileNames("recording", "sound files", ENDINGS)

    def is_one(self, name: str) -> bool:
        """By its header."""
        return sound_column.is_recording(name)

    def column(self, raw: RawColumn) -> Column:
        """Paths. Raises DataError for a row without a recording."""
        return raw.as_files("audio", "a recording")

    def copies(self, column: Column) -> Copies | None:
        """Equal files. Of what sounds alike nothing is said: two people who say a word do."""
        digests = [hashlib.sha256(content).hexdigest() for content in contents(column)]
        units = np.unique(digests, return_inverse=True)[1].astype(np.int64)
        copies = len(units) - len(set(digests))
        if not copies:
            return None
        told = counted(
            copies,
            "recording is a copy of another: both stay",
            "recordings are copies of others: they stay",
        )
        return Copies(units, f"{told} on one side of every split.")

    def faults(self, column: Column) -> tuple[UnusableFile, ...]:
        """Files that are no recordings, damaged, or too long."""
        return sound_column.unusable(column, sound_column.surveyed(column))

    def suggestions(self, task: Task) -> Sequence[Suggestion]:
        """A network of its own; for classes beside the families of tables, which take statistics."""
        if task == "transcription":
            return (("ctc", {}, "a column of recordings, and what is said in them"),)
        if task != "classification":
            return ()
        return (("audio_cnn", {}, "a column of recordings"),)

    def method(self, needs: Needs) -> Options:
        """What the family likes: samples, at its rate, or statistics of their spectrogram."""
        return {"name": needs.audio} | ({"rate": needs.audio_rate} if needs.audio_rate else {})
