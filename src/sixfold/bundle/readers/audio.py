"""A recording as a raw value: the bytes of a sound file."""

from __future__ import annotations

import base64
from typing import ClassVar, Final

from sixfold.bundle.audio_inputs import DESCRIPTION, AudioEncoder
from sixfold.bundle.file_values import file_cell
from sixfold.bundle.modality_reader import Cell, Shown, described_input
from sixfold.recipe.audio import AudioInput
from sixfold.recipe.section import Section

# A WAV file of 20 ms of silence, 8 kHz, 16 bits, as base64.
SILENCE: Final = base64.b64encode(
    b"RIFF"
    + (36 + 320).to_bytes(4, "little")
    + b"WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0"
    b"data" + (320).to_bytes(4, "little") + bytes(320)
).decode()


class Settings(Section):
    """An encoded recording. A text is base64, never a path: rows may come from anywhere."""

    missing: ClassVar[str | None] = None
    in_files: ClassVar[bool] = True
    shown: ClassVar[Shown] = Shown(
        hint="WAV, FLAC, MP3 or OGG",
        example=SILENCE,
        in_csv="recording.wav",
        schema={"type": "string", "contentEncoding": "base64"},
        remedy="Send the file's bytes. A path is for this machine's callers alone: is the file there?",
        field="file",
        accept="audio/wav,audio/x-wav,audio/flac,audio/mpeg,audio/ogg",
        noun="a recording",
    )

    def cell(self, missing: frozenset[str]) -> Cell:
        """From bytes, base64 or a path to bytes."""
        return file_cell(self.shown.noun)

    def encoder(self, name: str, described: bytes, where: str) -> AudioEncoder:
        """By what the fit on training rows wrote down. Raises BundleError."""
        return AudioEncoder(described_input(AudioInput, name, described, DESCRIPTION, where), where)
