"""Columns of recordings."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from sixfold.core.units import counted
from sixfold.parts import sound_column
from sixfold.parts.decoded_column import contents
from sixfold.parts.decoded_rows import describe_faults
from sixfold.parts.file_cells import ending_of
from sixfold.parts.fit import Needs
from sixfold.parts.modality import Copies, ModalityBlock, RawColumn, Suggestion, UnusableRows
from sixfold.parts.table import Column, Table, Task
from sixfold.prepare.step import Training
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.section import Section

LOOKED_FILES: Final = 5  # of a column of names of recordings


class Settings(Section):
    """Recordings: names of sound files that are there, relative ones from the folder of the source;
    or a Parquet file's column of bytes.
    """

    plural: ClassVar[str] = "recordings"
    looked_at_first: ClassVar[bool] = True
    unseen: ClassVar[str] = ""
    columns: ClassVar[int] = 1

    def why(self, raw: RawColumn) -> str:
        """Names of sound files that are there, or the bytes of such files: the first few tell, of
        which one may be damaged.
        """
        some = raw.levels[:LOOKED_FILES]
        if raw.in_cells:
            return (
                "bytes of recordings"
                if 2 * sum(map(sound_column.is_recording, some)) > len(some)
                else ""
            )
        named = bool(some) and all(
            Path(level).suffix.lower() in sound_column.ENDINGS for level in some
        )
        return (
            "names of sound files"
            if named and all((raw.folder / level).is_file() for level in some)
            else ""
        )

    def column(self, raw: RawColumn) -> Column:
        """Paths. Raises DataError for a row without a recording."""
        return raw.as_files("audio", "a recording")

    def notes(self, name: str, column: Column) -> tuple[str, ...]:
        """None."""
        return ()

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

    def unusable(self, column: Column) -> UnusableRows | None:
        """Files that are no recordings, damaged, or too long."""
        faults = sound_column.unusable(column, sound_column.surveyed(column))
        rows = np.array([fault.row for fault in faults], dtype=np.int64)
        return (
            UnusableRows(rows, describe_faults(faults, len(column.values), "recording"))
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
        """A network of its own; for classes beside the families of tables, which take statistics."""
        if task == "transcription":
            return (("ctc", {}, "a column of recordings, and what is said in them"),)
        if task != "classification":
            return ()
        return (("audio_cnn", {}, "a column of recordings"),)

    def method(self, needs: Needs) -> Options:
        """What the family likes: samples, at its rate, or statistics of their spectrogram."""
        return {"name": needs.audio} | ({"rate": needs.audio_rate} if needs.audio_rate else {})

    def block(self, name: str, method: Any, table: Table, training: Training) -> ModalityBlock:
        """Fit on the recordings: rate and length."""
        found: ModalityBlock = method.block(name, table)
        return found
