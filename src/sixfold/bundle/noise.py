"""Steady noise is taken out of a recording, the same for training and serving.

Windows of 25 ms (then the next power of two), half of one apart, are weighed by the root of a periodic Hann window
before the Fourier transform and behind it, so that they add up to what they were. The power of the noise in each
frequency is its mean over the recording's quietest windows (Boll, Suppression of acoustic noise in speech using
spectral subtraction, 1979). Each frequency of each window is multiplied by Wiener's gain

    ξ / (1 + ξ),   ξ(t) = 0.98 · (what was left of t - 1) + 0.02 · max(P(t) / noise - 1, 0)

which follows speech and lets no single tones of noise through (the decision-directed estimate: Ephraim and Malah, 1984;
Scalart and Filho, 1996).
"""

# Letters: T windows, N samples of a window, K frequencies.
from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

WINDOW_S: Final = 0.025
QUIET: Final = 0.1  # share of the windows that are noise
LEAST: Final = (
    6  # windows that tell what noise is; of what has fewer than twice as many nothing is known
)
SILENT: Final = (
    1e-9  # mean power below which a window holds nothing at all: digital silence is no noise
)
SMOOTH: Final = 0.98  # Ephraim and Malah's
AT_ONCE: Final = 256  # windows
Samples = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def noise_reduced(samples: Samples, rate: int, most_db: float) -> Samples:
    """As many samples, whose steady noise is weaker, by `most_db` at most. What is too short to tell noise from
    sound, and what is silent, stays as it is.
    """
    window = 1 << (round(WINDOW_S * rate) - 1).bit_length()
    hop = window // 2
    blocks = -(-len(samples) // hop) + 2  # half a window of zeros at both ends
    padded = np.zeros(blocks * hop)
    padded[hop : hop + len(samples)] = samples
    frames_TN = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    weights = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))
    noise_K = _noise(frames_TN[1 : max(1, len(samples) // hop)], weights)
    if noise_K is None:
        return samples
    found, left = np.zeros((blocks, hop)), np.zeros(len(noise_K))
    for start in range(0, len(frames_TN), AT_ONCE):
        spectra = np.fft.rfft(frames_TN[start : start + AT_ONCE] * weights)
        gains, left = _gains(_power(spectra) / noise_K, left)
        spectra *= np.maximum(gains, 10 ** (-most_db / 20))
        pieces = np.fft.irfft(spectra, window) * weights
        found[start : start + len(pieces)] += pieces[:, :hop]
        found[start + 1 : start + 1 + len(pieces)] += pieces[:, hop:]
    return found.reshape(-1)[hop : hop + len(samples)].astype(np.float32)


def _noise(frames_TN: npt.NDArray[Any], weights: Doubles) -> Doubles | None:
    """[K] mean power of the quietest windows; None where there are too few."""
    power = np.einsum("tn,tn->t", frames_TN, frames_TN) / len(weights)
    heard = np.flatnonzero(power > SILENT)
    if len(heard) < 2 * LEAST:
        return None
    count = max(LEAST, round(QUIET * len(heard)))
    quiet = heard[np.argsort(power[heard], kind="stable")[:count]]
    total = np.zeros(len(weights) // 2 + 1)
    for start in range(0, count, AT_ONCE):
        some = frames_TN[quiet[start : start + AT_ONCE]] * weights
        total += _power(np.fft.rfft(some)).sum(axis=0)
    return total / count + SILENT


def _power(spectra: npt.NDArray[np.complex128]) -> Doubles:
    return np.asarray(spectra.real**2 + spectra.imag**2)


def _gains(power_TK: Doubles, left: Doubles) -> tuple[Doubles, Doubles]:
    """[T, K], and what is left of the last window, [K], over the power of the noise, as `power_TK` is."""
    gains = np.empty_like(power_TK)
    for at, power in enumerate(power_TK):
        ratio = SMOOTH * left + (1 - SMOOTH) * np.maximum(power - 1, 0)
        gains[at] = ratio / (1 + ratio)
        left = gains[at] ** 2 * power
    return gains, left
