"""What a model takes of a column of recordings: written by the fit on training rows, read by
training and serving alike.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from sixfold.recipe.encoded import EncodedInput

LOWEST_RATE: Final = 4_000  # Hz that a recording may become
HIGHEST_RATE: Final = 48_000
LONGEST_S: Final = 60.0
MOST_REDUCTION: Final = 40.0  # dB
MOST_SAMPLES: Final = 1 << 20  # of a row, as doubles 8 MiB; a minute at 16 kHz


class AudioInput(EncodedInput):
    """One input of the graph that is made of a column of recordings: double [rows, samples], whole
    numbers of 16 bits, one channel, the recording in the middle.
    """

    rate: int = Field(ge=LOWEST_RATE, le=HIGHEST_RATE, description="Samples a second.")
    samples: int = Field(ge=1, le=MOST_SAMPLES, description="Of a row.")
    noise_reduction: float = Field(
        0.0, ge=0, le=MOST_REDUCTION, description="dB by which steady noise is weaker, at most."
    )
    trim: float = Field(
        0.0, ge=0, le=120, description="dB below the loudest 10 ms, from which on an end is cut."
    )
    level: float | None = Field(
        None, ge=-60, le=0, description="dB below full scale that the mean power becomes."
    )

    @property
    def cells(self) -> int:
        """Features."""
        return self.samples

    def describe(self) -> str:
        """ "0.75 s at 8,000 Hz, mono" """
        return f"{self.samples / self.rate:g} s at {self.rate:,} Hz, mono"
