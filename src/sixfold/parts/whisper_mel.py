"""The log-mel spectrogram that Whisper hears, as transformers' WhisperFeatureExtractor makes it: of samples at
16 kHz with silence behind them, frames of 400 every 160, weighed by a periodic Hann window and reflected at
both ends; triangles on the mel scale of Slaney's Auditory Toolbox (1998), each of the same area; the decimal
logarithm, of which no more than 8 below the largest is left, less the last frame, as (x + 4) / 4.
"""

# Letters: B rows, L samples, M bands, K frequencies, T frames.
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from sixfold.parts.log_mel import FULL_SCALE, fourier_waves
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray

RATE: Final = 16_000
WINDOW: Final = 400
HOP: Final = 160
LEAST: Final = 1e-10  # of an energy
RANGE: Final = 8.0  # decades below the largest
LINEAR_HERTZ, LINEAR_MEL = 1000.0, 15.0  # up to here the scale is linear
STEP: Final = math.log(6.4) / 27.0  # ln of a mel beyond


@dataclass(frozen=True)
class WhisperMel(State):
    """`samples` of a recording, behind which there is silence up to `whole`."""

    bands: int
    samples: int
    whole: int

    @property
    def rate(self) -> int:
        """Samples a second."""
        return RATE

    @property
    def frames(self) -> int:
        """T."""
        return self.whole // HOP

    @cached_property
    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        waves, filters = fourier_waves(WINDOW), slaney_filters(self.bands)
        return (
            torch.from_numpy(waves.astype(np.float32)[:, None]),
            torch.from_numpy(filters.astype(np.float32)),
        )

    @cached_property
    def _places(self) -> torch.Tensor:
        """Where each sample of what is reflected comes from."""
        return torch.from_numpy(np.pad(np.arange(self.whole), WINDOW // 2, mode="reflect"))

    def spectrograms(self, samples_BL: torch.Tensor) -> torch.Tensor:
        """float32 [B, L], whole numbers of 16 bits or between them → [B, M, T]."""
        waves, filters = (each.to(samples_BL.device) for each in self._weights)
        sound = functional.pad(samples_BL.mul(1 / FULL_SCALE), (0, self.whole - self.samples))
        framed = sound.index_select(1, self._places.to(sound.device)).unsqueeze(1)
        parts = functional.conv1d(framed, waves, None, (HOP,), (0,), (1,), 1)[:, :, : self.frames]
        squares, half = parts.mul(parts), len(waves) // 2
        power = squares[:, :half].add(squares[:, half:])
        energy = torch.matmul(filters, power).clamp_min(LEAST)
        decades = torch.log(energy).mul(1 / math.log(10))
        largest = decades.amax((1, 2), keepdim=True)
        return torch.maximum(decades, largest.sub(RANGE)).add(4.0).div(4.0)


def slaney_filters(bands: int) -> FloatArray:
    """[M, K]: triangles whose corners are equally far apart in mel, from 0 to half the rate."""
    most = LINEAR_MEL + math.log(RATE / 2 / LINEAR_HERTZ) / STEP
    mel = np.linspace(0, most, bands + 2)
    corners = np.where(
        mel < LINEAR_MEL,
        mel * (LINEAR_HERTZ / LINEAR_MEL),
        LINEAR_HERTZ * np.exp(STEP * (mel - LINEAR_MEL)),
    )
    hertz = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    low, middle, high = (corners[at : at + bands, None] for at in range(3))
    found = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.asarray(np.maximum(0.0, found) * (2.0 / (high - low)))
