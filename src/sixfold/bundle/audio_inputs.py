"""Recordings at serving: from the bytes of a file to the samples that the graph takes, through what
training used.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

import numpy as np
import numpy.typing as npt

from sixfold.bundle import audio
from sixfold.bundle.file_values import refused_rows
from sixfold.bundle.pieces import AudioPieces
from sixfold.bundle.spectrum_pieces import SpectrumPieces
from sixfold.core.errors import BundleError, SystemFault
from sixfold.core.json_limits import JsonLimits
from sixfold.recipe.audio import AudioInput

DESCRIPTION: Final = JsonLimits(1 << 12, values=64)  # of what one input is described by
LARGE: Final = 4_000_000  # values of a recording; larger ones are decoded one at a time, as each takes up to 16 bytes
_one_large: Final = threading.Lock()


class AudioEncoder:
    """The features of one input of the graph. Calls may come from several threads at once. Raises
    BundleError where the libraries that decode recordings are not there.
    """

    def __init__(self, described: AudioInput, where: str = "model.onnx") -> None:
        try:
            audio.check_libraries()
        except SystemFault as error:
            expected = "soundfile and soxr, as the model takes recordings"
            raise BundleError(where, expected, error.found, error.remedy) from None
        self.described = described
        self.column, self.cells = described.column, described.cells

    def encode(self, recordings: Sequence[bytes], first_row: int = 1) -> npt.NDArray[np.float64]:
        """Sound files → [rows, samples]. Raises RowError; rows are counted from `first_row`."""
        found = np.empty((len(recordings), self.cells))
        for row, content in enumerate(recordings):
            name = self._name(first_row + row)
            with refused_rows():
                facts = audio.facts_of(content, name)
                with _one_large if facts.frames * facts.channels > LARGE else nullcontext():
                    found[row] = audio.recorded(content, name, self.described)
        return found

    encode_in_place = encode

    def pieces(self, content: bytes, features: npt.NDArray[np.float64], most: int) -> AudioPieces:
        """Windows of time of what the model hears."""
        return AudioPieces.of(features, self.described.rate, most, self.start_s(content))

    def bands(self, content: bytes, features: npt.NDArray[np.float64], most: int) -> SpectrumPieces:
        """Bands of frequency in windows of time of what the model hears."""
        return SpectrumPieces.of(features, self.described.rate, most, self.start_s(content))

    def start_s(self, content: bytes) -> float:
        """Where in a recording the first sample is that the model is given, in seconds; below 0 where zeros
        are before it.
        """
        return audio.start_s(content, f"column '{self.column}'", self.described)

    def describe(self) -> str:
        """What every recording becomes."""
        return self.described.describe()

    def decoded_values(self, recordings: Sequence[bytes], first_row: int = 1) -> int:
        """Samples of all channels of all of them together, by their headers alone. Raises RowError
        for what is no sound file.
        """
        total = 0
        for row, content in enumerate(recordings, start=first_row):
            with refused_rows():
                facts = audio.facts_of(content, self._name(row))
            total += facts.frames * facts.channels
        return total

    def _name(self, row: int) -> str:
        return f"row {row}, column '{self.column}'"
