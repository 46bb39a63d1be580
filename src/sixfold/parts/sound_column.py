"""A column of recordings: its values name files, which are read when they are asked for, and decoded
once a run.
"""

from __future__ import annotations

from typing import Final

from sixfold.bundle.audio import facts_of
from sixfold.core.errors import DataError
from sixfold.parts import file_cells
from sixfold.parts.decoded_column import DecodedColumns
from sixfold.parts.decoded_rows import UnusableFile
from sixfold.parts.sound_store import SoundCache, SoundDecoder, survey
from sixfold.parts.table import Column
from sixfold.recipe.audio import AudioInput

_COLUMNS: Final = DecodedColumns[SoundCache]()


def is_recording(name: str) -> bool:
    """Whether the header of a file, or of a cell, is that of a recording."""
    try:
        return bool(facts_of(file_cells.content(name), name))
    except DataError:
        return False


def surveyed(column: Column) -> AudioInput:
    """What the recordings of a column become where nothing is said."""
    rate, seconds, _ = survey(column.strings())
    return AudioInput(name="audio_0", column="", rate=rate, samples=round(rate * seconds))


def decoded(column: Column, wanted: AudioInput) -> SoundCache:
    """The samples of a column's rows. Raises DataError, BudgetError."""
    return _COLUMNS.decoded(column, _decoder(wanted))


def unusable(column: Column, wanted: AudioInput) -> tuple[UnusableFile, ...]:
    """The rows of a column whose recordings cannot be read, or are too long, and why."""
    return _COLUMNS.unusable(column, _decoder(wanted))


def _decoder(wanted: AudioInput) -> SoundDecoder:
    """The same for every column."""
    return SoundDecoder(wanted.model_copy(update={"name": "audio_0", "column": ""}))
