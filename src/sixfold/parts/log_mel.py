"""Log-mel spectrograms: the same numbers by torch, for training, and as nodes of the graph.

Frames of `window` samples, `hop` apart, none padded, are weighed by a periodic Hann window. Power
|X|² of the discrete Fourier transform, as one convolution by cosines and sines; triangles of height
1 on the mel scale m(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987; as in HTK), from 0 to half the
rate; ln(energy + FLOOR).

`center`: neither how loud a recording is counts nor how its microphone colors it. Energies are divided by
their mean, and of each band's logarithms the mean over time is subtracted (cepstral mean
normalization, Atal 1974; of logarithms, which is the same but for a linear map).
"""

# Letters: B rows of a batch, L samples, N samples of a window, K frequencies, M bands, T frames.
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray

FULL_SCALE: Final = 32768.0  # what 1.0 is as a whole number of 16 bits
FLOOR: Final = 1e-3  # added to an energy, where a sine of full scale has N² / 16: what is 60 dB quieter is silence
CENTERED_FLOOR: Final = (
    1e-2  # added to an energy that was divided by the mean; measured: digits of unknown speakers
)
SILENT: Final = 1e-9  # added to the mean energy: of a recording without any
WINDOW_S: Final = 0.025  # at least; then the next power of two
HOP_S: Final = 0.01


@dataclass(frozen=True)
class LogMel(State):
    """`rate` in Hz; of a recording `samples`; `window` and `hop` in samples; `bands`; `center`: see
    above.
    """

    rate: int
    samples: int
    window: int
    hop: int
    bands: int
    center: bool = False

    @classmethod
    def of(cls, rate: int, samples: int, bands: int, center: bool = False) -> Self:
        """With a window of 25 ms or a little more, every 10 ms; of what is shorter, one window."""
        window = 1 << (round(WINDOW_S * rate) - 1).bit_length()
        while window > samples:
            window //= 2
        return cls(rate, samples, window, max(1, round(HOP_S * rate)), bands, center)

    @property
    def frames(self) -> int:
        """Of a recording."""
        return 1 + (self.samples - self.window) // self.hop

    @cached_property
    def filters(self) -> FloatArray:
        """[M, K]: the weight of each frequency in each band."""
        return mel_filters(self.rate, self.window, self.bands)

    @cached_property
    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [2K, 1, N], and filters [M, K], float32."""
        waves = fourier_waves(self.window).astype(np.float32)
        return torch.from_numpy(waves[:, None]), torch.from_numpy(self.filters.astype(np.float32))

    def spectrograms(self, samples_BL: torch.Tensor) -> torch.Tensor:
        """float32 [B, L], whole numbers of 16 bits or between them → float32 [B, M, T]."""
        waves, filters = self._weights
        scaled = samples_BL[:, None] * (1 / FULL_SCALE)
        parts_BPT = functional.conv1d(scaled, waves, stride=self.hop)
        squares = parts_BPT * parts_BPT
        half = len(waves) // 2
        energy_BMT = filters @ (squares[:, :half] + squares[:, half:])
        if not self.center:
            return torch.log(energy_BMT + FLOOR)
        loudness = energy_BMT.mean((1, 2), keepdim=True) + SILENT
        logarithms = torch.log(energy_BMT / loudness + CENTERED_FLOOR)
        return logarithms - logarithms.mean(2, keepdim=True)

    def export(self, graph: Graph, samples: str) -> str:
        """The same as nodes: float [rows, L] → float [rows, M, T]. The waves are made in the graph,
        once, when it is loaded: stored, they would be larger than a small network.
        """
        scale = graph.constant(1 / FULL_SCALE, np.float32)
        sound = graph.op("Unsqueeze", graph.op("Mul", samples, scale), _axis(graph, 1))
        parts = graph.op(
            "Conv",
            sound,
            _waves(graph, self.window),
            kernel_shape=[self.window],
            strides=[self.hop],
        )
        squares = graph.op("Mul", parts, parts)
        real, imaginary = graph.ops("Split", squares, outputs=2, axis=1, num_outputs=2)
        power = graph.op("Add", real, imaginary)
        energy = graph.op("MatMul", graph.constant(self.filters, np.float32), power)
        if not self.center:
            return graph.op("Log", graph.op("Add", energy, graph.constant(FLOOR, np.float32)))
        floor, silent = (graph.constant(each, np.float32) for each in (CENTERED_FLOOR, SILENT))
        places = graph.constant([1, 2], np.int64)
        loudness = graph.op("Add", graph.op("ReduceMean", energy, places, keepdims=1), silent)
        scaled = graph.op("Add", graph.op("Div", energy, loudness), floor)
        logarithms = graph.op("Log", scaled)
        means = graph.op("ReduceMean", logarithms, _axis(graph, 2), keepdims=1)
        return graph.op("Sub", logarithms, means)


def hertz_to_mel(hertz: npt.ArrayLike) -> FloatArray:
    """2595 log10(1 + f / 700)."""
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0))


def mel_filters(rate: int, window: int, bands: int) -> FloatArray:
    """[bands, window // 2 + 1]: triangles of height 1 whose corners are equally far apart in mel.

    A band narrower than two frequencies may meet none of them: it takes the nearest one.
    """
    corners = 700.0 * (10 ** (np.linspace(0, hertz_to_mel(rate / 2), bands + 2) / 2595.0) - 1.0)
    hertz = np.arange(window // 2 + 1) * (rate / window)
    low, middle, high = (corners[at : at + bands, None] for at in range(3))
    found = np.maximum(
        0.0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    )
    empty = np.flatnonzero(found.sum(axis=1) == 0)
    nearest = np.abs(hertz[None, :] - middle[empty]).argmin(axis=1)
    found[empty, nearest] = 1.0
    return np.asarray(found)


def hann(window: int) -> FloatArray:
    """[window]: periodic."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))


def fourier_waves(window: int) -> FloatArray:
    """[2K, window]: cosines, then sines, of K = window // 2 + 1 frequencies, weighed by `hann`."""
    angles = (2 * np.pi / window) * np.outer(np.arange(window // 2 + 1), np.arange(window))
    return np.concatenate([np.cos(angles), np.sin(angles)]) * hann(window)


def _axis(graph: Graph, number: int) -> str:
    return graph.constant([number], np.int64)


def _waves(graph: Graph, window: int) -> str:
    """`fourier_waves` as float [2K, 1, window]."""
    steps = graph.constant(np.arange(window // 2 + 1)[:, None], np.float64)
    places = graph.constant((2 * np.pi / window) * np.arange(window)[None, :], np.float64)
    angles = graph.op("Mul", steps, places)
    both = graph.op("Concat", graph.op("Cos", angles), graph.op("Sin", angles), axis=0)
    weighed = graph.op("Mul", both, graph.constant(hann(window)[None, :], np.float64))
    return graph.op("Unsqueeze", graph.cast(weighed, TensorProto.FLOAT), _axis(graph, 1))
